"""Predict: a segmenter over a whole image, tile by tile, as if it had seen it at once.

Knows nothing of torch: a threshold runs here as a UNet does. Results are written tile by tile into
an array in memory or on disk, so what is finished stays when the work is stopped.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image, Index
from napari_unetseg.core.inference.segmenter import ObjectSegmenter, Segmenter, decoder_of
from napari_unetseg.core.inference.tiles import PIXELS_AT_ONCE, Tile, TileGrid
from napari_unetseg.core.inference.zoomed import Zoomed, memory_per_pixel
from napari_unetseg.core.normalisation import Normalisation
from napari_unetseg.core.progress import Progress, StopEarly, part, silent

_LARGEST_BLOCK = {1: 8, 2: 8, 3: 4}
"""Times the usual pixels of a block that one may have when the network takes less memory for it.

A halo is as wide in the pixels of the network, so that a block of the usual size would be mostly
halo; but image and result are held at full size.
"""


def predict_proba_image(
    image: Image,
    segmenter: Segmenter,
    normalisation: Normalisation,
    *,
    tile: int | None = None,
    blend: int = 0,
    out: Any = None,
    progress: Progress = silent,
) -> Image:
    """Return the probability of each class in each pixel.

    Parameters
    ----------
    image
        Of as many channels as the segmenter takes; see `matched`. A segmenter of planes goes
        through time and depth plane by plane, one of stacks through time.
    normalisation
        Scaling of this image, from `fit_normalisation`.
    tile
        Side of a tile in pixels; when missing, the tiling with the least to compute in blocks of
        about a million and a half pixels. Halved as often as memory asks for it.
    blend
        See `TileGrid`.
    out
        Where to write, if not to memory: anything with slices, of the result's shape and float32.
    progress
        Told after each tile; may stop or cancel, which leaves the finished tiles in `out`.

    Returns
    -------
    Image
        float32, the image's other axes first, then C for the classes, then space.

    Raises
    ------
    InputError
        When image and segmenter do not fit each other, or the smallest tile does not fit memory.
    """
    given = matched(image, segmenter)
    block = _block_axes(segmenter)
    axes = "".join(axis for axis in given.axes if axis not in "C" + block) + "C" + block
    shape = (*given.loop_shape("C" + block), len(segmenter.classes), *_sides(given, block))
    result = np.zeros(shape, dtype=np.float32) if out is None else out
    for index, grid, one, proba in predicted_tiles(
        given, segmenter, normalisation, tile=tile, blend=blend, progress=progress
    ):
        grid.paste(result, one, proba, at=index)
    return given.like(result, axes, channel_names=segmenter.classes)


def predict_maps_image(
    image: Image,
    segmenter: Segmenter,
    normalisation: Normalisation,
    *,
    tile: int | None = None,
    out: Any = None,
    progress: Progress = silent,
) -> Image:
    """Return all that objects are decoded from: each class's probability, then the maps.

    Of a segmenter that learnt no objects these are the probabilities.

    See Also
    --------
    predict_proba_image : the parameters, and what is raised.
    napari_unetseg.core.inference.predict_objects.decode_image : what comes next.
    """
    whole = with_maps(segmenter)
    return predict_proba_image(image, whole, normalisation, tile=tile, out=out, progress=progress)


def with_maps(segmenter: Segmenter) -> Segmenter:
    """Return a segmenter whose last classes are the maps of objects, if it learnt any."""
    if isinstance(segmenter, Zoomed):
        return Zoomed(with_maps(segmenter.segmenter), segmenter.zoom)
    decoder = decoder_of(segmenter)
    return segmenter if decoder is None else _Whole(segmenter, decoder.names)  # type: ignore[arg-type]


def predict_classes_image(
    image: Image,
    segmenter: Segmenter,
    normalisation: Normalisation,
    *,
    first: int = 0,
    tile: int | None = None,
    out: Any = None,
    progress: Progress = silent,
) -> Image:
    """Return the likeliest class of each pixel, as `first` plus its place among the classes.

    Parameters
    ----------
    first
        Number of the first class: 0 when that is the background, 1 when 0 means "not labelled".
    out
        Where to write, if not to memory: anything with slices, of the result's shape and uint8.

    Returns
    -------
    Image
        uint8, of the image's axes without C.

    See Also
    --------
    predict_proba_image : the other parameters, and what is raised.
    """
    given = matched(image, segmenter)
    block = _block_axes(segmenter)
    axes = "".join(axis for axis in given.axes if axis not in "C" + block) + block
    shape = (*given.loop_shape("C" + block), *_sides(given, block))
    result = np.zeros(shape, dtype=np.uint8) if out is None else out
    for index, grid, one, proba in predicted_tiles(
        given, segmenter, normalisation, tile=tile, progress=progress
    ):
        grid.paste(result, one, likeliest(proba, first), at=index)
    return given.like(result, axes)


def likeliest(proba: NDArray[np.float32], first: int = 0) -> NDArray[np.uint8]:
    """Return `first` plus the class of the largest of (K, *spatial) probabilities, as uint8."""
    best = proba[1] > proba[0] if len(proba) == 2 else np.argmax(proba, axis=0)
    classes: NDArray[np.uint8] = best.astype(np.uint8)
    classes += np.uint8(first)
    return classes


def matched(image: Image, segmenter: Segmenter) -> Image:
    """Return the image in the channels the segmenter takes.

    Colour becomes grey for a segmenter of one channel.

    Raises
    ------
    InputError
        When the channels differ otherwise, or the segmenter needs a stack and this is none.
    """
    n = segmenter.n_channels
    if image.rgb and n == 1:
        image = image.grey()
    if image.n_channels != n:
        way_out = "another image"
        if image.n_channels > n:
            way_out = f"{n} of the channels {image.list_channels()} (--channel, or the line Axes)"
        raise InputError(
            f"The image has {image.n_channels} channel(s), but the model was trained on "
            f"{n}. Choose {way_out}, or train a model on images like this one."
        )
    if segmenter.ndim == 3 and "Z" not in image.axes:
        raise InputError(
            f"The model was trained on stacks, but the image has no Z axis (it has {image.axes}). "
            "Choose a stack, or a model trained on planes."
        )
    return image


def predicted_tiles(
    image: Image,
    segmenter: Segmenter,
    normalisation: Normalisation,
    *,
    tile: int | None = None,
    blend: int = 0,
    share: float = 1.0,
    progress: Progress = silent,
) -> Iterator[tuple[Index, TileGrid, Tile, NDArray[np.float32]]]:
    """Yield every tile's place among the planes or stacks, its grid, itself and its block.

    Parameters
    ----------
    image
        As `matched` gives it.
    share
        Of the progress of each plane or stack; the rest is for what is done with it.
    progress
        When it stops, no tile follows.

    See Also
    --------
    predict_proba_image : the other parameters, and what is raised.
    """
    axes = _block_axes(segmenter)
    indices = image.indices("C" + axes)
    grid = _grid(_sides(image, axes), segmenter, tile, blend)
    predictor = Predictor(segmenter, normalisation, grid)
    try:
        for done, index in enumerate(indices):
            numbers = channels_first(image, index, axes)
            here = part(progress, done / len(indices), (done + share) / len(indices))
            for number, one in enumerate(grid):
                here(number / len(grid), "predicting")
                yield index, grid, one, predictor(numbers, one)
            progress((done + 1) / len(indices), "predicting")
    except StopEarly:
        return


class _Whole:
    """A segmenter of objects whose maps are classes more, so that they are tiled as those are."""

    def __init__(self, segmenter: ObjectSegmenter, names: tuple[str, ...]) -> None:
        self._segmenter = segmenter
        self.classes = (*segmenter.classes, *names)
        self.n_channels, self.ndim = segmenter.n_channels, segmenter.ndim
        self.halo, self.multiple = segmenter.halo, segmenter.multiple
        self.border = segmenter.border
        self.shrink = getattr(segmenter, "shrink", ())
        self.memory_per_pixel = getattr(segmenter, "memory_per_pixel", 1.0)

    def predict_proba(
        self, block: NDArray[np.float32], *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        return self._segmenter.predict_maps(block, origin=origin, shape=shape)


class Predictor:
    """A segmenter that cuts a block in two whenever it does not fit memory, and remembers."""

    def __init__(self, segmenter: Segmenter, normalisation: Normalisation, grid: TileGrid) -> None:
        self.segmenter, self.normalisation, self.grid = segmenter, normalisation, grid
        self.too_large = math.inf

    def __call__(self, numbers: Any, tile: Tile) -> NDArray[np.float32]:
        """Return (K, *block_shape); of a block cut in two, what is inside alone holds."""
        pixels = math.prod(tile.block_shape)
        if pixels < self.too_large:
            try:
                return self._at_once(numbers, tile)
            except MemoryError:
                self.too_large = pixels
        halves = self.grid.split(tile)
        if not halves:
            raise InputError(
                f"Not even a tile of {' x '.join(map(str, tile.block_shape))} pixels fits the "
                "memory. Close other programs, or use a smaller model."
            )
        proba = np.zeros((len(self.segmenter.classes), *tile.block_shape), dtype=np.float32)
        for half in halves:
            inside = (
                slice(part.start - first, part.stop - first)
                for part, first in zip(half.region, tile.block_start, strict=True)
            )
            proba[(slice(None), *inside)] = self(numbers, half)[(slice(None), *half.inside)]
        return proba

    def _at_once(self, numbers: Any, tile: Tile) -> NDArray[np.float32]:
        block = self.normalisation.apply(self.grid.cut(numbers, tile))
        return self.segmenter.predict_proba(block, origin=tile.block_start, shape=self.grid.shape)


def _grid(shape: tuple[int, ...], segmenter: Segmenter, tile: int | None, blend: int) -> TileGrid:
    halo, multiple, border = segmenter.halo, segmenter.multiple, segmenter.border
    if tile is None:
        # As much memory as usual for the network, whatever the pixels are on the image's grid.
        more = min(_LARGEST_BLOCK[len(shape)], 1 / memory_per_pixel(segmenter))
        room: Any = {"pixels": round(PIXELS_AT_ONCE[len(shape)] * more), "blend": blend}
        return TileGrid.planned(shape, halo=halo, multiple=multiple, border=border, **room)
    return TileGrid(shape, (tile,) * len(shape), halo, multiple, border, blend)


def channels_first(image: Image, index: Index, axes: str) -> Any:
    """Return one plane or stack as (C, *spatial), unread when lazy."""
    numbers = image.data[image.block_slices(index, "C" + axes)]
    kept = [axis for axis in image.axes if axis in "C" + axes]
    return np.moveaxis(numbers, kept.index("C"), 0) if "C" in kept else numbers[None]


def _block_axes(segmenter: Segmenter) -> str:
    return "YX" if segmenter.ndim == 2 else "ZYX"


def _sides(image: Image, axes: str) -> tuple[int, ...]:
    return tuple(image.length(axis) for axis in axes)


__all__ = [
    "Predictor",
    "channels_first",
    "likeliest",
    "matched",
    "predict_classes_image",
    "predict_maps_image",
    "predict_proba_image",
    "predicted_tiles",
    "with_maps",
]
