"""`ForeignModel`: a model of others, used wherever one of ours is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import matched, predict_proba_image
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.model.network_features import NetworkFeatures
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.foreign.engines import Engine, Start
from napari_unetseg.core.models_io.foreign.fixed_windows import Side
from napari_unetseg.core.models_io.foreign.foreign_description import Description, Tensor
from napari_unetseg.core.models_io.foreign.foreign_segmenter import ForeignSegmenter
from napari_unetseg.core.models_io.foreign.output_meaning import Head
from napari_unetseg.core.models_io.foreign.processing_steps import (
    FittedSteps,
    fit_steps,
    needs_whole,
)
from napari_unetseg.core.normalisation import intensities
from napari_unetseg.core.options import Device
from napari_unetseg.core.progress import Progress, part, to_the_end

_SCALING_SHARE, _RAW_SHARE = 0.05, 0.5


class ForeignSpec(ModelSpec):
    """What is known of a network that somebody else built: the sizes it takes."""

    kind: ClassVar[str] = "foreign network"

    sides: tuple[tuple[int, int, int], ...] = ()

    def halo(self, ndim: int) -> tuple[int, ...]:
        """Return how many pixels beyond a tile may change what is predicted in it, per axis."""
        return tuple(Side(*side).halo for side in self.sides)

    def multiple(self, ndim: int) -> tuple[int, ...]:
        """Return what the place and the sides of a block must divide by, per axis."""
        return tuple(Side(*side).multiple for side in self.sides)

    def border(self, ndim: int) -> tuple[int, ...]:
        """Return how far the image is mirrored beyond its edges before predicting, per axis."""
        return self.halo(ndim)


@dataclass(frozen=True, eq=False, kw_only=True)
class ForeignModel(TrainedModel):
    """A model whose network, and what goes before and after it, are somebody else's.

    It predicts as every model does. It has no weights to train on from, and is kept by its file.

    Parameters
    ----------
    description
        What its package says.
    result, number
        The output that is used, and its place among the outputs.
    head
        What that output means.
    start
        Starts what runs it.
    source
        The file or folder it came from.
    digest
        SHA-256 of its weights.
    """

    description: Description
    result: Tensor
    number: int
    head: Head
    start: Start
    source: str
    digest: str

    def __post_init__(self) -> None:
        """Nothing is left to check: opening has done so."""

    @property
    def image(self) -> Tensor:
        """The input."""
        return self.description.inputs[0]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights."""
        return self.digest

    @property
    def n_outputs(self) -> int:
        """How many numbers the network says of each pixel."""
        return self.result.n_channels

    def features(self, n_channels: int, ndim: int) -> NetworkFeatures:
        """Refuse: nothing is known of what goes on inside."""
        raise InputError(
            f"{self.name!r} is a model of others: what its network knows cannot be looked at. "
            "Choose a UNet that was trained here."
        )

    def segmenter(self, device: Device = "cpu", *, flips: bool = False) -> Segmenter:
        """Build the segmenter, without the model's zoom.

        Raises
        ------
        InputError
            When what runs it is missing, or its postprocessing needs a whole image's numbers.
        """
        if needs_whole(self.result.steps):
            raise InputError(
                f"The postprocessing of {self.name!r} takes statistics of the whole result. "
                "Predict with the model, not with its segmenter."
            )
        return self._segmenter(
            self.start(device), fit_steps(self.result, self.result.steps, _ANY), flips
        )

    def check_weights(self) -> None:
        """Check that the network can be started."""
        self.start("cpu")

    def _segmenter(
        self, engine: Engine, post: FittedSteps, flips: bool, *, raw: bool = False
    ) -> Segmenter:
        head = None if raw else self.head
        runs = (engine, self.image, self.result, self.number)
        return ForeignSegmenter(*runs, post, head, flips)

    def ready(
        self,
        image: Image,
        device: Device,
        flips: bool,
        progress: Progress,
        scaling: Any = None,
    ) -> tuple[Image, Any, Any, Progress]:
        """Make everything ready to predict; statistics are of the whole image, as everywhere."""
        engine = self.start(device)
        raw = self._segmenter(engine, FittedSteps(()), flips, raw=True)
        given = matched(image, raw)
        before = _sample(intensities(given, to_the_end(part(progress, 0, _SCALING_SHARE))))
        scaling = scaling or fit_steps(self.image, self.image.steps, before)
        if not needs_whole(self.result.steps):
            post = fit_steps(self.result, self.result.steps, _ANY)
            rest = part(progress, _SCALING_SHARE, 1)
            return given, self._segmenter(engine, post, flips), scaling, rest
        first = to_the_end(part(progress, _SCALING_SHARE, _RAW_SHARE))
        how: Any = scaling
        found = predict_proba_image(given, raw, how, progress=first)
        numbers = np.moveaxis(found.asarray(), found.axes.index("C"), 0)
        references = {self.image.name: np.asarray(scaling(before))}
        after = numbers.reshape(len(numbers), -1)
        post = fit_steps(self.result, self.result.steps, after, references)
        segmenter = self._segmenter(engine, post, flips)
        return given, segmenter, scaling, part(progress, _RAW_SHARE, 1)


_ANY = np.zeros((1, 1), np.float32)
"""In place of numbers, where no step looks at any."""


def _sample(channels: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the intensities of all channels, (C, n): of as many pixels each."""
    n = min(len(channel) for channel in channels)
    if not n:
        return np.zeros((len(channels), 1), np.float32)
    return np.stack([channel[:n] for channel in channels])


def fields_of(
    description: Description, result: Tensor, head: Head, unit: Callable[[object], str]
) -> Mapping[str, Any]:
    """Return what a description says in the words of `TrainedModel`."""
    image = description.inputs[0]
    pairs = zip(image.space, result.space, strict=True)
    sides = [Side.of(a, b) for a, b in pairs]
    return {
        "name": description.name,
        "spec": ForeignSpec(sides=tuple((s.least, s.step, s.edge) for s in sides)),
        "classes": head.classes,
        "values": head.values,
        "labels_are": "mask" if head.decoder is None else "objects",
        "n_channels": image.n_channels,
        "ndim": len(image.space),
        "state": {},
        "channel_names": image.channel_names,
        "spacing": tuple(axis.scale for axis in image.space),
        "unit": unit(image.space[-1].unit),
        "decoder": head.decoder,
    }


__all__ = ["ForeignModel", "ForeignSpec", "fields_of"]
