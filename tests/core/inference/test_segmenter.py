"""Prediction over a segmenter that knows nothing of torch."""

from dataclasses import dataclass, field

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import (
    likeliest,
    predict_classes_image,
    predict_proba_image,
)
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.normalisation import Normalisation
from napari_unetseg.core.progress import Cancelled, StopEarly


@dataclass
class LocalMean:
    """Bright where the mean around is, more so to the right: sees 3 pixels, and its place."""

    ndim: int = 2
    n_channels: int = 1
    fits: float = np.inf
    classes: tuple[str, ...] = ("dark", "bright")
    blocks: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def halo(self) -> tuple[int, ...]:
        return (4,) * self.ndim

    @property
    def multiple(self) -> tuple[int, ...]:
        return (4,) * self.ndim

    @property
    def border(self) -> tuple[int, ...]:
        return (4,) * self.ndim

    def predict_proba(
        self, block: NDArray[np.float32], *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        self.blocks.append(block.shape[1:])
        if block[0].size > self.fits:
            raise MemoryError
        mean = ndimage.uniform_filter(block.mean(0), 7)
        x = (np.arange(block.shape[-1]) + origin[-1]) / shape[-1]
        bright = np.clip(mean * (0.5 + 0.5 * x.astype(np.float32)), 0, 1)
        return np.stack([1 - bright, bright])


def identity(n: int = 1) -> Normalisation:
    return Normalisation((0.0,) * n, (1.0,) * n)


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def test_is_a_segmenter() -> None:
    assert isinstance(LocalMean(), Segmenter)


@pytest.mark.parametrize(("tile", "blend"), [(8, 0), (20, 0), (24, 5), (None, 0)])
@pytest.mark.parametrize(
    ("ndim", "axes", "shape"), [(2, "TYX", (2, 45, 31)), (3, "ZYX", (9, 30, 22))]
)
def test_tiled_equals_whole(
    tile: int | None, blend: int, ndim: int, axes: str, shape: tuple[int, ...]
) -> None:
    image = Image.of(noise(*shape), axes, spacing=(0.5,) * len(axes.replace("T", "")), unit="µm")
    whole = predict_proba_image(image, LocalMean(ndim), identity(), tile=1000)
    tiled = predict_proba_image(image, LocalMean(ndim), identity(), tile=tile, blend=blend)
    np.testing.assert_allclose(tiled.data, whole.data, atol=1e-5)
    np.testing.assert_allclose(tiled.data.sum(whole.axes.index("C")), 1, atol=1e-5)
    assert tiled.axes == ("TCYX" if ndim == 2 else "CZYX")
    assert (tiled.spacing, tiled.unit) == (image.spacing, "µm")
    assert tiled.channel_names == ("dark", "bright")


def test_axes_in_any_order_and_lazy() -> None:
    planes = noise(3, 2, 30, 20)  # T, C, Y, X
    expected = predict_proba_image(
        Image.of(planes, "TCYX"), LocalMean(n_channels=2), identity(2)
    ).data
    for axes in ("CTYX", "TYXC"):
        moved = np.moveaxis(planes, range(4), [axes.index(axis) for axis in "TCYX"])
        lazy = Image.of(da.from_array(moved, chunks=7), axes, rgb=False)
        found = predict_proba_image(lazy, LocalMean(n_channels=2), identity(2), tile=12)
        np.testing.assert_allclose(found.data, expected, atol=1e-5)


def test_classes_are_the_likeliest() -> None:
    image = Image.of(noise(40, 50))
    proba = predict_proba_image(image, LocalMean(), identity()).data
    classes = predict_classes_image(image, LocalMean(), identity(), first=1, tile=16)
    np.testing.assert_array_equal(classes.data, 1 + (proba[1] > proba[0]))
    assert classes.data.dtype == np.uint8
    assert classes.axes == "YX"


def test_likeliest_of_many() -> None:
    proba = noise(5, 6, 7)
    np.testing.assert_array_equal(likeliest(proba, 2), proba.argmax(0) + 2)


def test_halves_the_block_when_memory_runs_out() -> None:
    image = Image.of(noise(90, 70))
    whole = predict_proba_image(image, LocalMean(), identity(), tile=1000)
    small = LocalMean(fits=900)
    found = predict_proba_image(image, small, identity(), tile=48, blend=4)
    np.testing.assert_allclose(found.data, whole.data, atol=1e-5)
    too_large = [block for block in small.blocks if np.prod(block) > 900]
    assert 0 < len(too_large) < 6  # it remembers


def test_says_so_when_nothing_fits() -> None:
    with pytest.raises(InputError, match="fits the memory"):
        predict_proba_image(Image.of(noise(20, 20)), LocalMean(fits=10), identity())


@pytest.mark.parametrize("stop", [Cancelled, StopEarly])
def test_finished_tiles_stay(stop: type[Exception]) -> None:
    def listen(fraction: float, message: str = "", /) -> None:
        if fraction > 0.4:
            raise stop

    image, out = Image.of(noise(40, 40)), np.zeros((2, 40, 40), dtype=np.float32)
    if stop is Cancelled:
        with pytest.raises(Cancelled):
            predict_proba_image(image, LocalMean(), identity(), tile=8, out=out, progress=listen)
    else:
        predict_proba_image(image, LocalMean(), identity(), tile=8, out=out, progress=listen)
    done = out.sum(0) > 0
    assert 0.3 < done.mean() < 0.6


def test_colour_for_a_model_of_grey() -> None:
    rgba = np.random.default_rng(0).integers(0, 255, (20, 20, 4), dtype=np.uint8)
    image = Image.of(rgba)
    assert image.rgb
    grey = predict_proba_image(image, LocalMean(), Normalisation((0,), (1 / 255,)))
    by_hand = predict_proba_image(image.grey(), LocalMean(), Normalisation((0,), (1 / 255,)))
    np.testing.assert_allclose(grey.data, by_hand.data)
    three = predict_proba_image(image, LocalMean(n_channels=3), identity(3))
    assert three.shape == (2, 20, 20)


def test_an_image_that_does_not_fit_the_model() -> None:
    with pytest.raises(InputError, match="2 channel"):
        predict_proba_image(Image.of(noise(2, 9, 9), "CYX"), LocalMean(), identity(2))
    with pytest.raises(InputError, match="no Z axis"):
        predict_proba_image(Image.of(noise(9, 9)), LocalMean(3), identity())
