"""Contract of every segmenter: an image predicted in tiles equals the image predicted at once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.open_segmenter import open_segmenter
from napari_unetseg.core.inference.predict_tiles import predict_maps_image, predict_proba_image
from napari_unetseg.core.inference.segmenter import ObjectSegmenter, Segmenter
from napari_unetseg.core.model.registry import RUNGS
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.normalisation import fit_normalisation
from napari_unetseg.core.objects.decoders import DecoderSpec

pytest.importorskip("torch", reason="the networks need PyTorch")

Make = Callable[..., TrainedModel]
SHAPES = {2: (75, 61), 3: (9, 45, 50)}
OBJECTS: dict[str, Any] = {"values": (0, 1), "labels_are": "objects", "decoder": DecoderSpec()}


def plain(make: Make, kind: str, ndim: int) -> TrainedModel:
    return make(kind, ndim)


def with_position(make: Make, kind: str, ndim: int) -> TrainedModel:
    return make(kind, ndim, options={"position": "polynomial"})


def zoomed(make: Make, kind: str, ndim: int) -> TrainedModel:
    return make(kind, ndim).zoomed((0.6, 1.4, 1.3)[-ndim:])


def of_objects(make: Make, kind: str, ndim: int) -> TrainedModel:
    return make(kind, ndim, **OBJECTS)


def at_half_resolution(make: Make, kind: str, ndim: int) -> TrainedModel:
    return make(kind, ndim, options={"resolution": "half"})


def over_a_frozen_unet(make: Make, kind: str, ndim: int) -> TrainedModel:
    unet = make("unet", ndim)
    return make(kind, ndim, options={"features": "both"}, features_from=unet)


def over_the_pretrained_network(make: Make, kind: str, ndim: int) -> TrainedModel:
    return make(kind, ndim, options={"features": "bank+pretrained", "position": "polynomial"})


CASES = [
    *((kind, way) for kind in RUNGS for way in (plain, with_position, zoomed)),
    *(
        (kind, way)
        for kind, rung in RUNGS.items()
        if rung.takes_frozen_features
        for way in (over_a_frozen_unet, over_the_pretrained_network)
    ),
    *(
        (kind, way)
        for kind, rung in RUNGS.items()
        if rung.family == "network"
        for way in (of_objects, at_half_resolution)
    ),
]


@pytest.mark.parametrize("ndim", SHAPES)
@pytest.mark.parametrize(
    ("kind", "way"), CASES, ids=[f"{kind}-{way.__name__}" for kind, way in CASES]
)
def test_tiled_equals_whole(make_model: Make, kind: str, way: Any, ndim: int) -> None:
    model = way(make_model, kind, ndim)
    segmenter = open_segmenter(model)
    pixels = np.random.default_rng(0).integers(0, 4000, SHAPES[ndim]).astype(np.uint16)
    image = Image.of(pixels, spacing=model.spacing, unit=model.unit)
    whole = prediction(segmenter, model, image, tile=500)
    tiled = prediction(segmenter, model, image, tile=19)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-4)
    # Weights that make every pixel alike would pass for any tiles.
    assert whole.std() > 1e-3


def test_tiles_without_their_halo_differ(make_model: Make) -> None:
    """Show that the contract can fail."""
    model = make_model("unet")
    segmenter = open_segmenter(model)
    image = Image.of(np.random.default_rng(0).random(SHAPES[2], dtype=np.float32))
    whole = prediction(segmenter, model, image, tile=500)
    blind: Any = WithoutHalo(segmenter)
    tiled = prediction(blind, model, image, tile=16)
    assert np.abs(tiled - whole).max() > 1e-3


class WithoutHalo:
    """A segmenter that asks for no context around a tile."""

    halo = (0, 0)

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segmenter, name)


def prediction(segmenter: Segmenter, model: TrainedModel, image: Image, tile: int) -> Any:
    scaling = fit_normalisation(image, model.normalisation)
    if isinstance(segmenter, ObjectSegmenter) and segmenter.decoder is not None:
        return predict_maps_image(image, segmenter, scaling, tile=tile).asarray()
    return predict_proba_image(image, segmenter, scaling, tile=tile).asarray()
