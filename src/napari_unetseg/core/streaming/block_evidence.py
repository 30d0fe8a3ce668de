"""Compute the evidence of a block: thresholded classes, a model's class scores, or flat pixels.

Evidence means the numbers per pixel from which labels or objects are made.
"""

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
from napari_unetseg.core.objects.cross_block_objects import BlockIndex, Box, ObjectBuilder
from napari_unetseg.core.objects.decode import DecodeOptions, background_class
from napari_unetseg.core.objects.decode_blocks import DecodeObjectBuilder
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.progress import silent
from napari_unetseg.core.recipe import Recipe
from napari_unetseg.core.recipe.recipe_steps import ModelStep
from napari_unetseg.core.streaming.prepare_run import Prepared
from napari_unetseg.core.threshold import needs_whole_objects, smoothed_image
from napari_unetseg.core.threshold.threshold_blocks import BlockClassifier, ThresholdObjectBuilder

Kind = Literal["objects", "masks", "classes", "probabilities", "flattened"]
"""Kind of result; masks are classes that are cleaned up like objects."""

Array = NDArray[Any]

Sizes = tuple[int, ...]

THRESHOLD_BYTES, MODEL_BYTES = 150.0, 400.0
"""Peak memory in bytes per pixel of a block, from the image to objects."""


class BlockEvidence(Protocol):
    """Interface of the sources of evidence, computed block by block."""

    @property
    def image(self) -> Image:
        """The input image; the labels have its axes, with or without C."""

    @property
    def kind(self) -> Kind:
        """The kind of result."""

    @property
    def block_axes(self) -> str:
        """``"YX"`` for blocks of planes, ``"ZYX"`` for blocks of stacks."""

    @property
    def multiple(self) -> tuple[int, ...]:
        """The number that block offsets must be a multiple of, per axis."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the evidence channels; empty for a single unnamed one."""

    @property
    def dtype(self) -> Any:
        """Data type of the evidence."""

    @property
    def per_pixel(self) -> float:
        """Peak memory in bytes per pixel of a block."""

    def of_block(
        self, index: Index, position: BlockIndex, box: Box, sides: tuple[int, ...]
    ) -> Array:
        """Compute the evidence of one block: (*box), or (C, *box)."""

    def maker(self) -> ObjectBuilder:
        """Return the object builder, whose input is the output of `maker_input`."""

    def maker_input(self, numbers: Array) -> Any:
        """Convert evidence to the input of `maker`."""


@dataclass(frozen=True, eq=False)
class ThresholdEvidence:
    """Compute evidence by a threshold."""

    comparing: BlockClassifier
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

    def of_block(
        self, index: Index, position: BlockIndex, box: Box, sides: tuple[int, ...]
    ) -> Array:
        return self.comparing.classes(index, box, self.block_axes)

    def maker(self) -> ObjectBuilder:
        spacing = self.image.spacing[-len(self.block_axes) :]
        return ThresholdObjectBuilder(self.comparing.options, spacing)

    def maker_input(self, numbers: Array) -> Any:
        return numbers


@dataclass(frozen=True, eq=False)
class ModelEvidence:
    """Compute evidence by a model.

    Parameters
    ----------
    image
        The image, in the channels that the model takes.
    segmenter, scaling
        The network, with its object maps if they are needed, and the scaling of its input.
    decoder
        The meaning of the object maps.
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

    def of_block(
        self, index: Index, position: BlockIndex, box: Box, sides: tuple[int, ...]
    ) -> Array:
        segmenter = self.segmenter
        shape = tuple(self.image.length(axis) for axis in self.block_axes)
        grid = TileGrid(
            shape, sides, segmenter.halo, segmenter.multiple, segmenter.border, even=False
        )
        tile = list(grid)[int(np.ravel_multi_index(position, grid.counts))]
        numbers = channels_first(self.image, index, self.block_axes)
        predictor = Predictor(segmenter, self.scaling, grid)
        scores = predictor(numbers, tile)[(slice(None), *tile.inside)]
        if self.kind == "probabilities":
            return scores
        if self.kind == "classes":
            values: Array = np.array(self.model.values, self.dtype)[likeliest(scores)]
            return values
        behind = background_class(self.model.values, self.options.background)
        return np.concatenate([1 - scores[behind : behind + 1], scores[len(self.model.classes) :]])

    def maker(self) -> ObjectBuilder:
        spacing = self.image.spacing[-len(self.block_axes) :]
        return DecodeObjectBuilder(self.decoder, self.options, spacing)

    def maker_input(self, numbers: Array) -> Any:
        return numbers[0], numbers[1:]


@dataclass(frozen=True, eq=False)
class FlattenedImage:
    """Return the background-corrected image as the result."""

    image: Image

    kind: Kind = "flattened"
    block_axes = "YX"
    multiple = (1, 1)
    channels = ()
    dtype = np.float32
    per_pixel = 40.0

    def of_block(
        self, index: Index, position: BlockIndex, box: Box, sides: tuple[int, ...]
    ) -> Array:
        plane = self.image.data[self.image.block_slices(index)]
        return np.asarray(plane[box], dtype=np.float32)

    def maker(self) -> ObjectBuilder:
        raise TypeError("A flattened image has no objects.")

    def maker_input(self, numbers: Array) -> Any:
        return numbers


def block_evidence(recipe: Recipe, prepared: Prepared, model: TrainedModel | None) -> BlockEvidence:
    """Make the source of evidence for a recipe and an image."""
    if recipe.threshold is not None:
        options, parameters = recipe.threshold, prepared.parameters
        groups = [tuple(levels) for levels in parameters["levels"]]
        smoothed = smoothed_image(prepared.given, options)
        comparing = BlockClassifier(smoothed, groups, options, parameters["contrasts"])
        return ThresholdEvidence(comparing, _kind_of_threshold(recipe))
    if recipe.model is not None and model is not None:
        return _predicted(recipe, recipe.model, prepared, model)
    return FlattenedImage(prepared.given)


def _kind_of_threshold(recipe: Recipe) -> Kind:
    options = recipe.threshold
    if options is None or not needs_whole_objects(options):
        return "classes"
    return "objects" if options.result == "objects" else "masks"


def _predicted(
    recipe: Recipe, step: ModelStep, prepared: Prepared, model: TrainedModel
) -> ModelEvidence:
    model = model.zoomed(prepared.zoom)
    given, segmenter, scaling, _ = ready(model, prepared.given, step, silent, prepared.scaling)
    decoder = decoder_of(segmenter)
    if step.what == "objects":
        segmenter = with_maps(segmenter)
    decoding = recipe.decoding(model)
    return ModelEvidence(given, model, segmenter, scaling, decoder, decoding, cast(Kind, step.what))


__all__ = ["BlockEvidence", "Kind", "block_evidence"]
