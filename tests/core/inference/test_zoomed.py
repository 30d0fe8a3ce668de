"""A model shown the image at another scale: the same answer tile by tile, on the image's grid."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference import prediction
from napari_unetseg.core.inference.object_size import (
    SizeOptions,
    median_diameter,
    mismatch,
    zoom_for,
)
from napari_unetseg.core.inference.open_segmenter import open_segmenter
from napari_unetseg.core.inference.predict_objects import predict_objects_image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.predict_tiles import predict_proba_image
from napari_unetseg.core.inference.prediction import (
    decode_maps,
    predict,
    predict_maps,
)
from napari_unetseg.core.inference.segmenter import ObjectSegmenter, Segmenter
from napari_unetseg.core.inference.zoomed import Zoomed, resampled
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.normalisation import Normalisation
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.scoring.object_scores import object_scores
from napari_unetseg.core.scoring.overlap import overlap_of

Make = Callable[..., TrainedModel]
LEARNT = 14.0


@dataclass
class Spots:
    """Finds bright discs of `LEARNT` pixels by a difference of Gaussians, and no others."""

    ndim: int = 2
    n_channels: int = 1
    classes: tuple[str, ...] = ("background", "spot")
    halo: tuple[int, ...] = (32, 32)
    multiple: tuple[int, ...] = (8, 8)
    border: tuple[int, ...] = (32, 32)

    def predict_proba(
        self, block: NDArray[np.float32], *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        assert not any(side % 8 for side in (*origin, *block.shape[1:]))
        near, far = (ndimage.gaussian_filter(block[0], s, truncate=3) for s in (3.5, 7.0))
        said = 1 / (1 + np.exp(-40 * (near - far - 0.2)))
        return np.stack([1 - said, said]).astype(np.float32)


def spots(by: float, side: int = 240) -> tuple[Image, NDArray[np.int32]]:
    """Discs of `LEARNT` pixels, all of it `by` times as large, and their ids."""
    rng = np.random.default_rng(0)
    y, x = (np.mgrid[: round(side * by), : round(side * by)] + 0.5) / by
    ids = np.zeros(y.shape, np.int32)
    for number, (row, column) in enumerate(np.ndindex(7, 7), start=1):
        middle = np.array([row, column]) * 32 + 24 + rng.uniform(-4, 4, 2)
        ids[np.hypot(y - middle[0], x - middle[1]) < LEARNT / 2] = number
    image = (ids > 0) + rng.normal(0, 0.05, ids.shape)
    return Image.of(image.astype(np.float32)), ids


def found(image: Image, segmenter: Segmenter, truth: NDArray[np.int32], **how: Any) -> float:
    same = Normalisation((0.0,), (1.0,))
    objects = predict_objects_image(image, segmenter, same, (0, 1), **how)
    return object_scores(overlap_of(objects.asarray(), truth)).f1


def model_of(**known: Any) -> Any:
    facts = {"name": "cells", "ndim": 2, "spacing": (0.5, 0.5), "unit": "µm", "diameter": LEARNT}
    return SimpleNamespace(**(facts | known))


@pytest.mark.parametrize("by", [0.5, 2.0, 1.3])
def test_objects_of_another_size_are_found_at_their_diameter(by: float) -> None:
    image, truth = spots(by)
    zoom = zoom_for(model_of(), image, SizeOptions(diameter=LEARNT * by))
    assert zoom == pytest.approx((1 / by, 1 / by))
    assert found(image, Zoomed(Spots(), zoom), truth) > 0.95
    if by != 1.3:
        assert found(image, Spots(), truth) < 0.5  # what is not told is not found


@pytest.mark.parametrize("zoom", [(0.37, 0.37), (1.9, 1.9), (0.8, 1.25)])
@pytest.mark.parametrize("tile", [50, 33])
def test_tiles_are_as_the_whole(zoom: tuple[float, ...], tile: int) -> None:
    image, _ = spots(1, side=170)
    lazy = Image.of(da.from_array(image.data, chunks=64))
    same, seen = Normalisation((0.0,), (1.0,)), Zoomed(Spots(), zoom)
    whole = predict_proba_image(image, seen, same, tile=1000).asarray()
    tiled = predict_proba_image(lazy, seen, same, tile=tile).asarray()
    np.testing.assert_allclose(tiled, whole, atol=1e-4)
    np.testing.assert_allclose(whole.sum(0), 1, atol=1e-4)


def test_a_network_at_a_zoom(make_model: Make) -> None:
    objects: dict[str, Any] = {"values": (0, 1), "labels_are": "objects", "decoder": DecoderSpec()}
    model = make_model("unet", **objects).zoomed((1.4, 1.4))
    assert isinstance(open_segmenter(model), ObjectSegmenter)
    pixels = np.random.default_rng(0).integers(0, 4000, (2, 50, 44)).astype(np.uint16)
    image = Image.of(pixels, spacing=(2.0, 0.5, 0.5), unit="µm")
    maps = predict_maps(model, image)
    ids = predict(model, image, PredictOptions(what="objects"))
    assert ids.shape == image.shape
    np.testing.assert_array_equal(decode_maps(model, maps).asarray(), ids.asarray())
    plain = model.zoomed(())
    assert not np.allclose(predict_maps(plain, image).asarray(), maps.asarray(), atol=1e-2)
    assert plain.fingerprint == model.fingerprint


def test_resampling_keeps_places_and_means() -> None:
    ramp = np.broadcast_to(np.arange(40, dtype=np.float32), (1, 30, 40)).copy()
    small = resampled(ramp, (0.5, 0.25), (0, 0), (0, 0), (15, 10))[0]
    np.testing.assert_allclose(small[7, 1:-1], np.arange(10)[1:-1] * 4 + 1.5, atol=0.02)
    large = resampled(ramp, (2, 2), (0, 0), (4, 6), (10, 20))[0]
    np.testing.assert_allclose(large[3], (np.arange(6, 26) + 0.5) / 2 - 0.5, atol=1e-5)


# How far


def test_the_zoom_of_a_stack_follows_the_proportions_of_its_voxels() -> None:
    model = model_of(ndim=3, spacing=(2.0, 0.5, 0.5))
    image = Image.of(np.zeros((4, 9, 9), np.uint8), spacing=(1.0, 0.5, 0.5), unit="µm")
    assert zoom_for(model, image, SizeOptions(diameter=7)) == pytest.approx((1, 2, 2))
    assert zoom_for(model, image, SizeOptions(rescale=True)) == pytest.approx((0.5, 1, 1))
    bare = replace(image, unit="pixel")
    assert zoom_for(model, bare, SizeOptions(diameter=7)) == pytest.approx((2, 2, 2))


def test_pixel_sizes_in_other_units_are_compared() -> None:
    image = Image.of(np.zeros((9, 9), np.uint8), spacing=(650.0, 650.0), unit="nm")
    assert zoom_for(model_of(), image, SizeOptions(rescale=True)) == pytest.approx((1.3, 1.3))
    assert mismatch(model_of(), image) == "650 → 500 nm"
    assert mismatch(model_of(spacing=(0.62, 0.66)), image) == ""
    assert mismatch(model_of(unit="pixel"), image) == ""


def test_nothing_is_done_for_nothing() -> None:
    image = Image.of(np.zeros((9, 9), np.uint8))
    assert zoom_for(model_of(), image, SizeOptions()) == ()
    assert zoom_for(model_of(), image, SizeOptions(diameter=LEARNT)) == ()


@pytest.mark.parametrize(
    ("options", "known", "said"),
    [
        (SizeOptions(diameter=9), {"diameter": 0.0}, "not known how large"),
        (SizeOptions(diameter=0.5), {}, "scaled by 28,"),
        (SizeOptions(rescale=True), {}, "pixel size of the image"),
    ],
)
def test_what_cannot_be_scaled_is_said(
    options: SizeOptions, known: dict[str, Any], said: str
) -> None:
    image = Image.of(np.zeros((9, 9), np.uint8))
    with pytest.raises(InputError, match=said):
        zoom_for(model_of(**known), image, options)


class Finder(SimpleNamespace):
    """Finds what is bright, at any size."""

    def zoomed(self, zoom: Any) -> Any:
        return Finder(**(vars(self) | {"zoom": zoom}))


def find(model: Any, image: Image, options: PredictOptions, **how: Any) -> Image:
    assert options.what == "objects"
    assert not options.auto_diameter
    model.shape = image.shape
    ids, _ = ndimage.label(image.asarray() > 0.5)
    return Image.of(ids.astype(np.int32), image.axes)


@pytest.mark.parametrize("by", [0.5, 2.0])
def test_a_diameter_is_measured_in_the_middle_of_a_stack(
    by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "predict", find)
    measure = PredictOptions(auto_diameter=True)
    side = round(LEARNT * by)
    stack = np.zeros((3 * side, 200, 200), np.float32)
    z, y, x = np.indices(stack.shape)
    stack[np.hypot(np.hypot(z - 1.5 * side, y - 100), x - 100) < side / 2] = 1
    model: Any = Finder(**vars(model_of(ndim=3, spacing=(0.5, 0.5, 0.5))), zoom=())
    seen: Any = prediction.sized(model, Image.of(stack), measure)
    assert seen.zoom == pytest.approx((1 / by,) * 3, rel=0.1)
    assert max(model.shape) <= 160
    empty = Image.of(np.zeros((8, 40, 40), np.float32))
    unchanged: Any = prediction.sized(model, empty, measure)
    assert unchanged.zoom == ()
    unsized: Any = Finder(**vars(model_of(diameter=0.0)))
    with pytest.raises(InputError, match="not known how large"):
        prediction.sized(unsized, empty, measure)


def test_the_diameter_is_that_of_whole_objects() -> None:
    _, ids = spots(1)
    cut = ids.copy()
    cut[:, :60] = 99  # half the image is one object that the border cuts
    assert median_diameter([cut]) == pytest.approx(LEARNT, rel=0.02)
    assert median_diameter([np.zeros((5, 5), int)]) == 0
    assert median_diameter([np.ones((4, 4), int)]) == pytest.approx(4.51, abs=0.01)
    z, y, x = np.mgrid[:11, :44, :44]
    ball = (np.hypot(np.hypot((z - 5) * 4, y - 22), x - 22) < 16).astype(int)
    assert median_diameter([ball], (2.0, 0.5, 0.5)) == pytest.approx(32, rel=0.03)
