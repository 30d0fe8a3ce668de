"""Define `ForeignModel`: a model from another program, used like one of ours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import matched, predict_proba_image
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.model.feature_context import NO_CONTEXT, FeatureContext
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
    """Describe a foreign network by the input sizes it takes."""

    kind: ClassVar[str] = "foreign network"

    sides: tuple[tuple[int, int, int], ...] = ()

    def halo(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the halo: pixels around a tile that may change its prediction, per axis."""
        return tuple(Side(*side).halo for side in self.sides)

    def multiple(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the number that offset and sides of a block must be a multiple of, per axis."""
        return tuple(Side(*side).multiple for side in self.sides)

    def border(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the width of the mirrored border added before predicting, per axis."""
        return self.halo(ndim)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ForeignModel(TrainedModel):
    """Hold a model whose network, pre- and postprocessing come from another program.

    It predicts like any model. It has no weights for fine-tuning, and is stored as its own file.

    Parameters
    ----------
    description
        The description in its package.
    result, number
        The output that is used, and its index among the outputs.
    head
        The meaning of that output.
    start
        Starts the engine that runs it.
    source
        The file or folder of the model.
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
        """Skip the checks, which opening has done."""

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
        """The number of output channels."""
        return self.result.n_channels

    def features(self, n_channels: int, ndim: int) -> NetworkFeatures:
        """Raise InputError: the features of a foreign network are not accessible."""
        raise InputError(
            f"{self.name!r} is a model from another program, whose features cannot be used. "
            "Choose a UNet that was trained here."
        )

    def segmenter(self, device: Device = "cpu", *, flips: bool = False) -> Segmenter:
        """Build the segmenter, without the zoom of the model.

        Raises
        ------
        InputError
            When the engine is missing, or the postprocessing needs statistics of the whole image.
        """
        if needs_whole(self.result.steps):
            raise InputError(
                f"The postprocessing of {self.name!r} needs statistics of the whole result. "
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
        """Prepare a prediction; statistics are those of the whole image."""
        engine = self.start(device)
        raw = self._segmenter(engine, FittedSteps(()), flips, raw=True)
        given = matched(image, raw)
        before = _sample(intensities(given, to_the_end(part(progress, 0, _SCALING_SHARE))))
        scaling = scaling or fit_steps(self.image, self.image.steps, before)
        if not needs_whole(self.result.steps):
            post = fit_steps(self.result, self.result.steps, _ANY)
            remaining = part(progress, _SCALING_SHARE, 1)
            return given, self._segmenter(engine, post, flips), scaling, remaining
        first = to_the_end(part(progress, _SCALING_SHARE, _RAW_SHARE))
        fitted_scaling: Any = scaling
        raw_result = predict_proba_image(given, raw, fitted_scaling, progress=first)
        numbers = np.moveaxis(raw_result.asarray(), raw_result.axes.index("C"), 0)
        references = {self.image.name: np.asarray(scaling(before))}
        after = numbers.reshape(len(numbers), -1)
        post = fit_steps(self.result, self.result.steps, after, references)
        segmenter = self._segmenter(engine, post, flips)
        return given, segmenter, scaling, part(progress, _RAW_SHARE, 1)


_ANY = np.zeros((1, 1), np.float32)
"""Placeholder for a sample, if no step uses statistics."""


def _sample(channels: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the intensities of all channels, (C, n), with equally many pixels each."""
    n = min(len(channel) for channel in channels)
    if not n:
        return np.zeros((len(channels), 1), np.float32)
    return np.stack([channel[:n] for channel in channels])


def model_fields_from(
    description: Description, result: Tensor, head: Head, unit: Callable[[object], str]
) -> Mapping[str, Any]:
    """Convert a description to the fields of a `TrainedModel`."""
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


__all__ = ["ForeignModel", "ForeignSpec", "model_fields_from"]
