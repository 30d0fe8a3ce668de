"""What is known of the pixels of a block: by a threshold, by a model, or the flattened image."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import Image, Index
from napari_unetseg.core.inference.open_segmenter import ready
from napari_unetseg.core.inference.predict_tiles import (
    Predictor,
    channels_first,
    likeliest,
    with_maps,
)
from napari_unetseg.core.inference.segmenter import decoder_of
from napari_unetseg.core.inference.tiles import TileGrid
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.objects.cross_block_objects import Box, Maker, Place
from napari_unetseg.core.objects.decode import DecodeOptions, background_class
from napari_unetseg.core.objects.decode_blocks import Decoding
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.progress import silent
from napari_unetseg.core.recipe import Recipe
from napari_unetseg.core.recipe.recipe_steps import ModelStep
from napari_unetseg.core.streaming.prepare_run import Prepared
from napari_unetseg.core.threshold import decides_on_objects, smoothed_image
from napari_unetseg.core.threshold.threshold_blocks import Cleaning, Comparing

Kind = Literal["objects", "masks", "classes", "probabilities", "flattened"]
"""What comes out; masks are classes that are cleaned as objects are."""

Array = NDArray[Any]

THRESHOLD_BYTES, MODEL_BYTES = 150.0, 400.0
"""Memory that a pixel of a block takes at most, on the way from the image to objects."""


class BlockEvidence(Protocol):
    """What is said of each pixel, block by block."""

    @property
    def image(self) -> Image:
        """What it looks at; its axes without C, or with it, are those of the labels."""

    @property
    def kind(self) -> Kind:
        """What comes out."""

    @property
    def block_axes(self) -> str:
        """``"YX"`` when it looks at planes, ``"ZYX"`` when at stacks."""

    @property
    def multiple(self) -> tuple[int, ...]:
        """What the place of a block must divide by, per axis."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the numbers said of each pixel; nothing when it is one."""

    @property
    def dtype(self) -> Any:
        """Of these numbers."""

    @property
    def per_pixel(self) -> float:
        """Bytes that a pixel of a block takes."""

    def of_block(self, index: Index, place: Place, box: Box, sides: tuple[int, ...]) -> Array:
        """Return the numbers of one block: (*box), or (C, *box)."""

    def maker(self) -> Maker:
        """Return what makes objects of `known`."""

    def known(self, numbers: Array) -> Any:
        """Return numbers as `maker` takes them."""


@dataclass(frozen=True, eq=False)
class Compared:
    """A threshold."""

    comparing: Comparing
    kind: Kind

    channels = ()
    dtype = np.uint8
    per_pixel = THRESHOLD_BYTES

    @property
    def image(self) -> Image:
        return self.comparing.smoothed

    @property
    def block_axes(self) -> str:
        deep = self.comparing.options.per == "stack" and self.image.length("Z") > 1
        return "ZYX" if deep else "YX"

    @property
    def multiple(self) -> tuple[int, ...]:
        return (1,) * len(self.block_axes)

    def of_block(self, index: Index, place: Place, box: Box, sides: tuple[int, ...]) -> Array:
        return self.comparing.classes(index, box, self.block_axes)

    def maker(self) -> Maker:
        spacing = self.image.spacing[-len(self.block_axes) :]
        return Cleaning(self.comparing.options, spacing)

    def known(self, numbers: Array) -> Any:
        return numbers


@dataclass(frozen=True, eq=False)
class Predicted:
    """A model.

    Parameters
    ----------
    image
        In the channels that the model takes.
    segmenter, scaling
        The network, with its maps of objects where they are wanted, and how its input is scaled.
    decoder
        What the maps mean.
    """

    image: Image
    model: TrainedModel
    segmenter: Any
    scaling: Any
    decoder: DecoderSpec | None
    options: DecodeOptions
    kind: Kind

    per_pixel = MODEL_BYTES

    @property
    def block_axes(self) -> str:
        return "ZYX"[-self.segmenter.ndim :]

    @property
    def multiple(self) -> tuple[int, ...]:
        return tuple(self.segmenter.multiple)

    @property
    def channels(self) -> tuple[str, ...]:
        if self.kind == "classes":
            return ()
        if self.kind == "probabilities":
            return tuple(self.segmenter.classes)
        return ("foreground", *self.segmenter.classes[len(self.model.classes) :])

    @property
    def dtype(self) -> Any:
        if self.kind == "classes":
            return np.min_scalar_type(max(self.model.values))
        return np.float32

    def of_block(self, index: Index, place: Place, box: Box, sides: tuple[int, ...]) -> Array:
        segmenter = self.segmenter
        shape = tuple(self.image.length(axis) for axis in self.block_axes)
        grid = TileGrid(
            shape, sides, segmenter.halo, segmenter.multiple, segmenter.border, even=False
        )
        tile = list(grid)[int(np.ravel_multi_index(place, grid.counts))]
        numbers = channels_first(self.image, index, self.block_axes)
        found = Predictor(segmenter, self.scaling, grid)(numbers, tile)[(slice(None), *tile.inside)]
        if self.kind == "probabilities":
            return found
        if self.kind == "classes":
            values: Array = np.array(self.model.values, self.dtype)[likeliest(found)]
            return values
        behind = background_class(self.model.values, self.options.background)
        return np.concatenate([1 - found[behind : behind + 1], found[len(self.model.classes) :]])

    def maker(self) -> Maker:
        spacing = self.image.spacing[-len(self.block_axes) :]
        return Decoding(self.decoder, self.options, spacing)

    def known(self, numbers: Array) -> Any:
        return numbers[0], numbers[1:]


@dataclass(frozen=True, eq=False)
class Flattened:
    """The image with its background taken out, and nothing more."""

    image: Image

    kind: Kind = "flattened"
    block_axes = "YX"
    multiple = (1, 1)
    channels = ()
    dtype = np.float32
    per_pixel = 40.0

    def of_block(self, index: Index, place: Place, box: Box, sides: tuple[int, ...]) -> Array:
        plane = self.image.data[self.image.block_slices(index)]
        return np.asarray(plane[box], dtype=np.float32)

    def maker(self) -> Maker:
        raise TypeError("Of a flattened image no objects are made.")

    def known(self, numbers: Array) -> Any:
        return numbers


def block_evidence(recipe: Recipe, prepared: Prepared, model: TrainedModel | None) -> BlockEvidence:
    """Return what a recipe says of each pixel of an image."""
    if recipe.threshold is not None:
        options, known = recipe.threshold, prepared.known
        groups = [tuple(levels) for levels in known["levels"]]
        smoothed = smoothed_image(prepared.given, options)
        comparing = Comparing(smoothed, groups, options, known["contrasts"])
        return Compared(comparing, _kind_of_threshold(recipe))
    if recipe.model is not None and model is not None:
        return _predicted(recipe, recipe.model, prepared, model)
    return Flattened(prepared.given)


def _kind_of_threshold(recipe: Recipe) -> Kind:
    options = recipe.threshold
    if options is None or not decides_on_objects(options):
        return "classes"
    return "objects" if options.result == "objects" else "masks"


def _predicted(
    recipe: Recipe, step: ModelStep, prepared: Prepared, model: TrainedModel
) -> Predicted:
    model = model.zoomed(prepared.zoom)
    given, segmenter, scaling, _ = ready(model, prepared.given, step, silent, prepared.scaling)
    decoder = decoder_of(segmenter)
    if step.what == "objects":
        segmenter = with_maps(segmenter)
    decoding = recipe.decoding(model)
    return Predicted(given, model, segmenter, scaling, decoder, decoding, cast(Kind, step.what))


__all__ = ["BlockEvidence", "Kind", "block_evidence"]
