"""Maps that were predicted once, kept so that objects can be made of them again and again."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from napari_unetseg.core.compute.scratch_arrays import IN_MEMORY
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.progress import Progress

Index = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Maps:
    """What a model said of a layer.

    Parameters
    ----------
    layer, data
        The layer, and the numbers it had.
    model
        What said it.
    options
        Options it ran with.
    index
        The plane it was said of; None for everything.
    axes
        Of the layer's array, without colour.
    image
        What was said, see `TrainedModel.predict_maps`.
    zoom
        How the layer was scaled for the model.
    """

    layer: Layer
    data: Any
    model: TrainedModel
    options: PredictOptions
    index: Index | None
    axes: str
    image: Image
    zoom: tuple[float, ...] = ()

    def hold(
        self,
        layer: Layer,
        model: TrainedModel | None,
        options: PredictOptions,
        index: Index | None,
    ) -> bool:
        """Whether they are what the model would say of a plane, or for None of everything."""
        same = self.layer is layer and self.data is layer.data and self.model is model
        return same and self.options.computes_as(options) and self.index in (None, index)

    def objects(self, options: DecodeOptions, progress: Progress) -> Image:
        """Return the objects of all that was predicted."""
        return self.model.decode(self.image, options, progress=progress)

    def plane(self, index: Index, options: DecodeOptions, progress: Progress) -> NDArray[Any]:
        """Return the objects of a plane; of a model of stacks, those that pass through it."""
        if self.index is not None:
            return self.objects(options, progress).asarray()
        lead = [axis for axis in self.axes if axis not in "YX"]
        at = dict(zip(lead, index, strict=True))
        block = "ZYX"[-self.model.ndim :]
        where = tuple(at[axis] for axis in self.image.axes if axis not in "C" + block)
        maps = self.image.block(where, "C" + block)
        part = Image(maps, "C" + block, self.image.spacing[-len(block) :], self.image.unit)
        found = self.model.decode(part, options, progress=progress).asarray()
        return np.asarray(found[at["Z"]] if "Z" in block else found)


@dataclass(frozen=True, eq=False)
class FoundObjects:
    """Objects that were predicted.

    Parameters
    ----------
    image
        Their ids.
    model
        What found them.
    index
        The plane they are of; None for everything.
    maps
        What they can be made of anew; None where that was too large to keep, or is not complete.
    stopped_at
        Which part was done when the user stopped; None when all was.
    zoom
        How the layer was scaled for the model.
    """

    image: Image
    model: TrainedModel
    index: Index | None
    maps: Maps | None
    stopped_at: float | None = None
    zoom: tuple[float, ...] = ()


def can_be_kept(model: TrainedModel, image: Image) -> bool:
    """Whether what a model says of an image fits the memory."""
    maps = 0 if model.decoder is None else model.decoder.n_maps
    pixels = math.prod(n for axis, n in zip(image.axes, image.shape, strict=True) if axis != "C")
    return pixels * (len(model.classes) + maps) * np.dtype(np.float32).itemsize <= IN_MEMORY


__all__ = ["FoundObjects", "Maps", "can_be_kept"]
