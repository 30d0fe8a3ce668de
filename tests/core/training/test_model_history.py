"""The history of the models: where each comes from, which are kept, and what a file may say."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.training import model_history as module
from napari_unetseg.core.training.model_history import (
    KEPT,
    SIDE,
    History,
    Learnt,
    Version,
    draw_prediction,
    draw_thumbnail,
    format_history,
    read_history,
)
from napari_unetseg.core.training.train import train


@pytest.fixture
def some(make_model):
    """Make models that descend from each other, scored as given."""

    def made(*scores, name="m"):
        models = []
        for seed, score in enumerate(scores):
            model = make_model(
                "logistic",
                seed=seed,
                name=f"{name} {seed}",
                parent=models[-1].fingerprint if models else "",
                scores={} if score is None else {"dice": score},
            )
            models.append(model)
        return models

    return made


def test_a_version_knows_its_parent_data_curve_and_score(make_model):
    steps = [
        {
            "step": k + 1,
            "seconds": 0.1 * k,
            "loss": 1 / (k + 1),
            "dice": 0.5 if k % 50 == 49 else None,
        }
        for k in range(500)
    ]
    model = make_model(
        "unet",
        history=steps,
        scores={"dice": 0.75},
        parent="abc",
        provenance={"labelled": 123, "date": "2026-01-02T03:04:05+00:00"},
    )
    learnt = Learnt(image="cells", labels="strokes", image_key="a", labels_key="b", ink=7)
    version = History().add(model, origin="trained", learnt=[learnt])
    assert (version.number, version.kind, version.parent) == (1, "unet", "abc")
    assert (version.dice, version.labelled) == (0.75, 123)
    assert version.learnt == (learnt,)
    assert 30 < len(version.curve) <= 60
    assert [p.dice for p in version.curve].count(0.5) == 10
    seconds = [point.seconds for point in version.curve]
    assert seconds == sorted(seconds)


def test_lineage_and_base(some):
    history = History()
    first, second, third = some(0.1, 0.2, 0.3)
    history.add(first, origin="loaded")
    history.add(second, origin="trained on")
    history.add(third, origin="trained on")
    assert [e.model for e in history.lineage(third)] == [third, second, first]
    assert history.base_of(third) is first
    assert history.base_of(first) is None
    own = History()
    for model in (first, second):
        own.add(model, origin="trained")
    assert own.base_of(second) is None, "it began with nothing"


def test_a_model_that_is_its_own_ancestor_ends_the_line(make_model):
    model = make_model("logistic")
    history = History()
    history.add(replace(model, parent=model.fingerprint))
    assert len(history.lineage(model)) == 1


def test_the_newest_the_best_the_current_and_the_base_are_kept(some):
    history = History()
    models = some(0.2, 0.9, *[0.5] * (KEPT + 4))
    history.add(models[0], origin="loaded")
    for model in models[1:]:
        history.add(model, origin="trained")
    current = models[3]
    gone = history.prune(current)
    kept = [entry.model for entry in history if entry.model is not None]
    assert kept == [models[0], models[1], current, *models[-KEPT:]]
    assert {id(m) for m in gone} == {id(m) for m in models} - {id(m) for m in kept}
    assert len(history) == len(models), "the rows stay"
    assert history.prune(current) == []


def test_rows_are_bounded(monkeypatch, some):
    monkeypatch.setattr(module, "ROWS", 12)
    history = History()
    models = some(*[None] * 20)
    for model in models:
        history.add(model)
        history.prune(model)
    assert len(history) == 12
    assert history.versions[-1].number == 20


def test_a_file_comes_back_and_a_project_finds_its_models(some):
    history = History()
    models = some(0.1, 0.2, 0.3)
    for model in models:
        history.add(model, origin="trained")
    versions = read_history(format_history(history.versions))
    assert versions == history.versions
    other = History()
    other.adopt(versions, models[1:])
    assert [entry.model for entry in other] == [None, *models[1:]]
    stranger = History()
    stranger.adopt((), models)
    assert [entry.model for entry in stranger] == models


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"format": "something else"}',
        b'{"version": 2}',
        b'{"versions": [{"number": 0, "name": "a", "kind": "b", "fingerprint": "c"}]}',
        b'{"versions": [{"number": 1, "name": "a", "kind": "b", "fingerprint": "c", "x": 1}]}',
        b'{"versions": [{"number": 1, "name": "a", "kind": "b", "fingerprint": "c", '
        b'"thumbnail": "' + b"A" * 20_000 + b'"}]}',
        b" " * 20_000_001,
        "\N{SNOWMAN}".encode("utf-16"),
    ],
)
def test_a_file_that_is_no_history_is_a_sentence(content):
    with pytest.raises(InputError, match="history of the models"):
        read_history(content)


def test_a_thumbnail_shows_the_example_and_what_is_said_of_it():
    sample = samples.nuclei((96, 112), seed=3)
    labels = sample.mask.astype(np.uint8)
    lesson = TrainingPair(sample.as_image(), labels)
    spec = LogisticSpec(sigmas="1, 2")
    model = train(spec, [lesson], TrainOptions(), name="m", labels_are="mask").model
    bare, shown = draw_thumbnail(model), draw_prediction(model)
    assert bare.shape == shown.shape == (SIDE, SIDE, 3)
    assert (bare.max(-1) == bare.min(-1)).all(), "grey without a prediction"
    coloured = shown.max(-1) != shown.min(-1)
    assert 0.5 < coloured.mean() / labels.mean() < 2
    version = History().add(model, thumbnail=shown)
    assert np.array_equal(version.picture(), shown)
    assert draw_thumbnail(replace(model, example=None)) is None


@pytest.mark.parametrize("thumbnail", ["", "AAAA", "no base64!"])
def test_a_broken_thumbnail_is_none(thumbnail):
    known = {"number": 1, "name": "a", "kind": "b", "fingerprint": "c"}
    assert Version(**known, thumbnail=thumbnail).picture() is None
