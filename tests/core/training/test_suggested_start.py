"""The suggested start: the shipped model that agrees with the labels, or none and why."""

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import Reading
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.network_specs import CnnSpec, UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.model.pretrained_unet_spec import PretrainedUNetSpec
from napari_unetseg.core.models_io import shipped_models
from napari_unetseg.core.models_io.shipped_models import open_shipped
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.samples import nuclei
from napari_unetseg.core.training import suggested_start
from napari_unetseg.core.training.suggested_start import ENOUGH, SUGGESTED_START, suggest_start
from napari_unetseg.core.training.train import train

SAMPLE = nuclei((96, 96), seed=1)
MASK = Reading("mask")


def pair(labels: NDArray[Any] = SAMPLE.mask, image: NDArray[Any] = SAMPLE.image) -> TrainingPair:
    return TrainingPair(Image(image, "CYX"[-image.ndim :]), labels.astype(np.uint8))


def test_a_shipped_model_that_agrees_with_the_labels_is_taken():
    found = suggest_start(UNetSpec(), [pair()], MASK)
    assert found.start is not None
    assert found.start is open_shipped(found.start.name)
    assert f"Started from the shipped model {found.start.name}" in found.reason
    score = float(found.reason.split("Dice ")[1].split(")")[0])
    assert ENOUGH < score < 1
    strokes = np.where(np.arange(96) % 9 < 2, SAMPLE.mask + 1, 0)
    assert suggest_start(UNetSpec(), [pair(strokes)], Reading()).start is found.start


def test_labels_of_something_else_start_from_a_pretrained_encoder():
    asked = UNetSpec(resolution="half", dropout=0.1)
    found = suggest_start(asked, [pair(~SAMPLE.mask)], MASK)
    assert found.start is None
    assert found.spec == PretrainedUNetSpec(resolution="half", dropout=0.1)
    assert "pretrained on photographs" in found.reason


def test_options_without_a_meaning_there_start_from_nothing():
    for spec, reading in (
        (UNetSpec(depth=2), MASK),
        (UNetSpec(), replace(MASK, scaling=NormalisationSpec(method="mean-std"))),
        (UNetSpec(), replace(MASK, ndim=3)),
    ):
        found = suggest_start(spec, [pair(~SAMPLE.mask)], reading)
        assert (found.start, found.spec) == (None, spec)
        assert "Started from nothing" in found.reason


@pytest.mark.parametrize(
    ("spec", "given", "reading", "why"),
    [
        (UNetSpec(), pair(), replace(MASK, ndim=3), "of planes, not of stacks"),
        (UNetSpec(width=4), pair(), MASK, "has these options"),
        (UNetSpec(), pair(), Reading("mask", scaling=NormalisationSpec(low=3)), "these options"),
        (UNetSpec(), pair(np.arange(9216).reshape(96, 96) % 5), MASK, "has 5 classes"),
        (UNetSpec(), pair(image=np.stack([SAMPLE.image] * 2)), MASK, "takes the channels"),
        (CnnSpec(), pair(), MASK, ""),
        (LogisticSpec(), pair(), MASK, ""),
    ],
)
def test_a_start_that_does_not_fit_falls_back_with_a_sentence(spec, given, reading, why):
    found = suggest_start(spec, [given], reading)
    assert found.start is None
    assert why in found.reason
    assert bool(found.reason) == bool(why)


@pytest.mark.parametrize("name", ["nuclei", "phase_cells"])
def test_a_start_of_either_kind_of_unet_keeps_its_options(name):
    shipped = open_shipped(name)
    with (
        patch.object(shipped_models, "names", lambda: (name,)),
        patch.object(suggested_start, "ENOUGH", 0.0),
    ):
        found = suggest_start(UNetSpec(), [pair()], MASK)
        other = suggest_start(UNetSpec(depth=2), [pair()], MASK)
    assert found.start is shipped
    assert found.spec.model_dump().keys() == shipped.spec.model_dump().keys()
    assert type(found.spec) is type(shipped.spec)
    assert other.start is None


def test_training_takes_the_suggestion_with_its_options_and_says_so():
    quick = TrainOptions(until="epochs", epochs=1, steps=1, patch=32, batch=1)
    outcome = train(
        UNetSpec(), [pair()], quick, name="new", labels_are="mask", start=SUGGESTED_START
    )
    begun = suggest_start(UNetSpec(), [pair()], MASK).start
    assert begun is not None
    assert outcome.model.parent == begun.fingerprint
    rate = outcome.model.history[0]["rate"]
    assert outcome.model.spec == begun.spec.model_copy(update={"head": "linear"})
    assert f"Started from the shipped model {begun.name}" in outcome.message
    asked = UNetSpec(width=2, depth=1)
    outcome = train(asked, [pair()], quick, name="new", labels_are="mask", start=SUGGESTED_START)
    assert not outcome.model.parent
    assert outcome.model.history[0]["rate"] > 2 * rate
    assert TrainOptions(learning_rate=0.2).with_rate(continues=True).learning_rate == 0.2
    assert (
        outcome.model.spec.model_dump()
        == asked.model_copy(update={"resolution": outcome.model.spec.resolution}).model_dump()
    )
    assert "Started from nothing: no shipped model has these options." in outcome.message
