"""One door to every rung: strokes, masks and objects in, a judged model out."""

import numpy as np
import pytest

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import Reading, TrainingSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.registry import RUNGS, spec_of
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.train import Origin, train, train_on_set

SMALL = {"cnn": {"width": 4, "layers": 2}, "unet": {"width": 4, "depth": 1}}
QUICK = TrainOptions(until="epochs", epochs=2, steps=6, patch=32, batch=2, averaging=0.0)


@pytest.fixture(scope="module")
def sample():
    return samples.nuclei((96, 112), seed=3)


@pytest.fixture(scope="module")
def strokes(sample):
    """Every eighth row: 1 beside nuclei, 2 on them."""
    labels = np.zeros(sample.classes.shape, np.uint8)
    labels[4::8] = np.where(sample.mask[4::8], 2, 1)
    return labels


def lessons(sample, labels):
    return [TrainingPair(sample.as_image(), labels)]


def quick(kind):
    return spec_of(kind, SMALL.get(kind, {}))


@pytest.mark.parametrize("kind", RUNGS)
def test_every_rung_trains_on_strokes_and_predicts(kind, sample, strokes):
    options = QUICK.model_copy(update={"climbing": "off"})
    outcome = train(quick(kind), lessons(sample, strokes), options, name=kind)
    model = outcome.model
    assert (model.spec.kind, model.values, model.labels_are) == (kind, (1, 2), "scribbles")
    predicted = predict(model, sample.as_image())
    assert set(np.unique(predicted.data)) <= {1, 2}
    assert predicted.shape == sample.classes.shape
    assert outcome.message


def test_pixel_rungs_find_what_was_painted_and_not_what_was_shuffled(sample, strokes):
    options = TrainOptions()
    model = train(quick("logistic"), lessons(sample, strokes), options, name="l").model
    found = dice(predict(model, sample.as_image()).data == 2, sample.mask)
    shuffled = strokes.copy()
    painted = shuffled > 0
    shuffled[painted] = np.random.default_rng(0).permutation(shuffled[painted])
    control = train(quick("logistic"), lessons(sample, shuffled), options, name="c").model
    lost = dice(predict(control, sample.as_image()).data == 2, sample.mask)
    assert found > 0.85
    assert lost < found - 0.2
    assert model.scores["dice"] > 0.85


@pytest.mark.parametrize(("kind", "labels"), [("mask", "classes"), ("objects", "objects")])
def test_masks_and_objects_write_background_as_nought(kind, labels, sample):
    truth = getattr(sample, labels)
    outcome = train(
        quick("logistic"), lessons(sample, truth), TrainOptions(), name="m", labels_are=kind
    )
    assert outcome.model.values == (0, 1)


def test_several_images_train_one_model(sample, strokes):
    blank = np.zeros_like(strokes)
    both = lessons(sample, strokes) + lessons(sample, blank)
    model = train(quick("softmax"), both, TrainOptions(), name="two").model
    assert model.provenance["images"] == 2


def test_a_model_is_a_start_and_stays_as_it_was(sample, strokes):
    # Nothing is held out, by which the first model might be the better one.
    options = QUICK.model_copy(update={"climbing": "off", "validation": 0.0})
    first = train(quick("unet"), lessons(sample, strokes), options, name="a").model
    before = first.fingerprint
    second = train(quick("unet"), lessons(sample, strokes), options, name="b", start=first).model
    assert first.fingerprint == before
    assert second.parent == before
    assert second.fingerprint != before


def test_a_teacher_must_see_and_predict_the_same(sample):
    def learn(labels_are, labels, teacher=None, **settings):
        reading = Reading(labels_are)
        data = TrainingSet.of(lessons(sample, labels), QUICK, reading)
        spec = spec_of("unet", SMALL["unet"] | {"resolution": "full"} | settings)
        return train_on_set(spec, data, QUICK, name="u", origin=Origin(teacher=teacher)).model

    teacher = learn("objects", sample.objects)
    pupil = learn("objects", sample.objects, teacher, width=3)
    assert pupil.spec.width == 3
    with pytest.raises(InputError, match="cannot teach"):
        learn("mask", sample.mask.astype(np.uint8), teacher)
    with pytest.raises(InputError, match="cannot teach"):
        learn("objects", sample.objects, teacher, resolution="half")


def test_strokes_make_a_network_climb(sample, strokes):
    outcome = train(quick("cnn"), lessons(sample, strokes), QUICK, name="climb")
    assert "kept" in outcome.message
    assert outcome.model.spec.kind in ("cnn", "logistic")


def test_another_rung_is_no_start(sample, strokes):
    first = train(quick("logistic"), lessons(sample, strokes), TrainOptions(), name="a").model
    with pytest.raises(InputError, match="logistic"):
        train(quick("mlp"), lessons(sample, strokes), TrainOptions(), name="b", start=first)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((96, 112), np.uint8), "annotated"),
        (np.eye(96, 112, dtype=np.uint8), "one"),
        (np.ones((96, 113), np.uint8), "shape"),
    ],
)
def test_what_cannot_be_learnt_is_a_sentence(labels, words, sample):
    with pytest.raises(InputError, match=words):
        train(quick("logistic"), lessons(sample, labels), TrainOptions(), name="x")


def test_no_image_at_all_is_a_sentence():
    with pytest.raises(InputError, match="no image"):
        train(quick("logistic"), [], TrainOptions(), name="x")


def test_cancelling_flies_through(sample, strokes):
    def cancel(fraction, message="", /):
        raise Cancelled

    with pytest.raises(Cancelled):
        train(quick("mlp"), lessons(sample, strokes), TrainOptions(), name="x", progress=cancel)


def test_stacks_are_learnt_as_planes_or_as_stacks():
    sample = samples.nuclei((8, 48, 48), seed=1)
    labels = np.zeros(sample.classes.shape, np.uint8)
    labels[:, ::6] = np.where(sample.mask[:, ::6], 2, 1)
    lesson = [TrainingPair(sample.as_image(), labels)]
    for ndim in (2, 3):
        model = train(quick("logistic"), lesson, TrainOptions(), name="s", ndim=ndim).model
        assert model.ndim == ndim
        assert predict(model, sample.as_image()).shape == sample.classes.shape
    with pytest.raises(InputError, match="no Z axis"):
        train(
            quick("logistic"),
            [TrainingPair(Image.of(labels[0]), labels[0])],
            TrainOptions(),
            name="s",
            ndim=3,
        )
