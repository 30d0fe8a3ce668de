"""A level at full resolution around a trained network: nearly the same results, another network."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.nn.restore import network_of
from napari_unetseg.core.training.train import train

ROOT = Path(__file__).parents[1]
SPEC = UNetSpec(depth=1, width=16, resolution="full", head="learnt")


@pytest.fixture
def with_finer_level(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("finer_network").with_finer_level


@pytest.fixture(scope="module")
def model():
    """A model of objects after a few steps, in grey."""
    sample = samples.nuclei((96, 96), seed=3)
    steps = TrainOptions(until="epochs", epochs=1, steps=10, patch=64, batch=2, validation=0.0)
    lesson = TrainingPair(sample.as_image(), sample.objects)
    return train(SPEC, [lesson], steps, name="cells", labels_are="objects").model


def test_it_computes_nearly_the_same(model, with_finer_level):
    seen = torch.from_numpy(samples.nuclei((96, 96), seed=5).image.astype(np.float32) / 4000)
    block = seen[None, None]
    finer = with_finer_level(model, [block])
    assert (finer.spec.stem, finer.spec.width, finer.spec.depth) == ("plain", 8, 2)
    with torch.inference_mode():
        before, after = (network_of(one).eval()(block) for one in (model, finer))
    for old, new in zip(before[0], after[0], strict=True):
        assert np.corrcoef(old.ravel(), new.ravel())[0, 1] > 0.95
    assert finer.decoder == model.decoder


def test_channels_that_are_too_few_are_refused(model, with_finer_level):
    image = np.stack([samples.nuclei((64, 64), seed=3).image] * 5, 0)
    lesson = TrainingPair(Image.of(image, "CYX"), samples.nuclei((64, 64), seed=3).objects)
    steps = TrainOptions(until="epochs", epochs=1, steps=1, patch=32, batch=1, validation=0.0)
    many = train(SPEC, [lesson], steps, name="cells", labels_are="objects").model
    with pytest.raises(ValueError, match="too few for 5"):
        with_finer_level(many, [])
