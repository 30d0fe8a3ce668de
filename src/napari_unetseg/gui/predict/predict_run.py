"""`PredictRun`: a run of the Predict dock, fixed when it starts, and how it is computed."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from napari_unetseg.core.compute.memory_limit import allowed
from napari_unetseg.core.compute.scratch_arrays import IN_MEMORY
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.object_size import measured_part, mismatch, window_of
from napari_unetseg.core.inference.plausibility import Trial, try_model
from napari_unetseg.core.inference.predict_options import PredictOptions, finds_scale, settle_what
from napari_unetseg.core.inference.prediction import (
    Prediction,
    decode_maps,
    prepare_prediction,
    run_prediction,
)
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.models_io.compare_shipped import TRIED_SIDE
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.lineage import Lineage, lineage_of
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.progress import Progress, part, to_the_end
from napari_unetseg.gui.shared.layers import (
    axes_of,
    field_of,
    image_of,
    steps_before,
)
from napari_unetseg.gui.shared.navigate import in_view
from napari_unetseg.gui.shared.task import Work

Index = tuple[int, ...]

_WHAT = PredictOptions.model_fields["what"]

_LEAST_VISIBLE = 256
"""Pixels along a side at least that models are tried on, however near the view is."""

_PREDICTING = 0.9
"""Part of a run that goes to the prediction, where its plausibility is judged afterwards."""

_AT_ONCE_BYTES = 40
"""Memory of a pixel that is predicted at once: the image, the output of the network, labels."""


class _ExtentOptions(Options):
    extent: Literal["everything", "visible plane"] = option(
        "everything",
        "On",
        "Predict every plane into a layer, or only show a preview of the plane on screen.",
    )


class PredictDockOptions(PredictOptions, _ExtentOptions):
    """Options of a prediction, and the extent that they hold for."""

    what: Literal["auto", "objects", "classes", "probabilities", "both"] = option(  # type: ignore[assignment]  # wider
        _WHAT.default,
        str(_WHAT.title),
        f"{_WHAT.description} Both: classes and probabilities.",
        when={"extent": ("everything",)},
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class PredictRun:
    """A run of the Predict dock: everything that its result and its message say.

    Parameters
    ----------
    layer, data
        The layer, and the array it had when the run started.
    axes
        Of the layer's array, without colour.
    options
        Options of the dock, settled for the model and the layer.
    before
        Steps that had made the image when the run started; see `steps_before`.
    index
        The plane that is predicted or looked at; None for everything.
    prediction
        The model, its options and, after the run, its result.
    levels
        Pyramid of a result that was written to a file.
    lineage
        Of objects that are linked over time.
    trial
        How plausible the result of a shipped model is, on a part of the image.
    """

    layer: Layer
    data: Any
    axes: str
    options: PredictDockOptions
    before: dict[str, Any]
    index: Index | None
    prediction: Prediction
    levels: tuple[Any, ...] = ()
    lineage: Lineage | None = None
    trial: Trial | None = None

    @property
    def model(self) -> TrainedModel:
        """The model that is run."""
        return self.prediction.model

    @property
    def wants_objects(self) -> bool:
        """Whether objects are made."""
        return self.options.what == "objects"

    def metadata(self) -> dict[str, Any]:
        """Return what a result layer says of its origin, from which a recipe can be read."""
        decoding = self.prediction.decoding.model_dump() if self.wants_objects else {}
        return {
            **self.options.model_dump(),
            **decoding,
            "zoom": list(self.prediction.zoom),
            "model": self.model.name,
            "fingerprint": self.model.fingerprint,
        }

    def serves(self, other: "PredictRun") -> bool:
        """Whether the maps of this run are those that another one would predict."""
        same = self.layer is other.layer and self.data is other.data and self.model is other.model
        return (
            same
            and self.prediction.maps is not None
            and self.options.computes_as(other.options)
            and self.index in (None, other.index)
        )

    @property
    def seen_model(self) -> TrainedModel:
        """The model at the scale that it saw the image."""
        return self.model.zoomed(self.prediction.zoom)

    def plane(self, index: Index, decoding: DecodeOptions, progress: Progress) -> NDArray[Any]:
        """Make the objects of one plane of the maps; of stacks, those that pass through it."""
        model, maps = self.seen_model, self.prediction.maps
        if maps is None:
            raise ValueError("This run kept no maps.")
        if self.index is not None:
            return decode_maps(model, maps, decoding, progress=progress).asarray()
        lead = [axis for axis in self.axes if axis not in "YX"]
        at = dict(zip(lead, index, strict=True))
        block = "ZYX" if "CZ" in maps.axes else "YX"
        where = tuple(at[axis] for axis in maps.axes if axis not in "C" + block)
        numbers = maps.block(where, "C" + block)
        part = maps.like(numbers, "C" + block)
        found = decode_maps(model, part, decoding, progress=progress).asarray()
        return np.asarray(found[at["Z"]] if "Z" in block else found)


def begin_run(
    layer: Layer,
    model: TrainedModel,
    options: PredictDockOptions,
    decoding: DecodeOptions,
    index: Index | None = None,
) -> PredictRun:
    """Fix a run of a model on a layer.

    Parameters
    ----------
    index
        The plane on screen. With the extent ``"visible plane"`` it alone is predicted.
    """
    whole = image = image_of(layer)
    settled = _offered(settled_result(options, model), model, whole)
    if settled.extent == "visible plane" and index is not None:
        image = field_of(layer, whole, index)
    return PredictRun(
        layer=layer,
        data=layer.data,
        axes=axes_of(layer),
        options=settled,
        before=steps_before(layer),
        index=index,
        prediction=prepare_prediction(model, image, settled, decoding),
    )


def visible_part(layer: Layer, index: Index | None) -> Image:
    """Return what is visible of a layer's plane, for a look at it; everything in a 3D view.

    Parameters
    ----------
    index
        The plane on screen, None if there is none.
    """
    whole = image_of(layer)
    if index is None:
        return whole
    plane = field_of(layer, whole, index)
    spans = [
        _at_least(span, plane.length(axis)) for span, axis in zip(in_view(layer), "YX", strict=True)
    ]
    return window_of(plane, *spans)


def _at_least(span: slice, length: int) -> slice:
    """Return a span widened to `_LEAST_VISIBLE` pixels, as far as the image reaches."""
    more = max(0, _LEAST_VISIBLE - (span.stop - span.start))
    start = max(0, span.start - more // 2)
    return slice(start, min(length, max(span.stop, start + _LEAST_VISIBLE)))


def settled_result(options: PredictDockOptions, model: TrainedModel) -> PredictDockOptions:
    """Settle the result; a preview shows the one that suits the model."""
    if options.extent == "visible plane":
        options = options.model_copy(update={"what": "auto"})
    return settle_what(options, model)


def _offered(options: PredictDockOptions, model: TrainedModel, image: Image) -> PredictDockOptions:
    """Drop the scale options that the dock does not offer for this model and image."""
    update: dict[str, Any] = {}
    if not model.diameter:
        update |= {"diameter": 0.0, "auto_diameter": False}
    if not finds_scale(options, model, image):
        update["auto_diameter"] = False
    if not mismatch(model, image):
        update["rescale"] = False
    return options.model_copy(update=update)


def predict_work(run: PredictRun, before: NDArray[Any] | None = None) -> Work:
    """Return the computation of a run in memory.

    Parameters
    ----------
    before
        Labels that stay where a stop leaves something unfinished; they are copied.
    """

    def work(progress: Progress) -> PredictRun:
        out = None if before is None else np.array(before)
        keep = run.wants_objects and can_be_kept(run.model, run.prediction.image)
        made = run_prediction(
            run.prediction, out=out, keep_maps=keep, progress=part(progress, 0, _PREDICTING)
        )
        if made.labels is not None:
            made = replace(made, labels=made.labels.with_data(made.labels.asarray()))
        rest = to_the_end(part(progress, _PREDICTING, 1))
        return replace(_finished(run, made), trial=run.trial or _judged(made, rest))

    return work


def _judged(made: Prediction, progress: Progress) -> Trial | None:
    """Judge a shipped model on a part of the image; None of other models."""
    model = made.model
    if not shipped.name_of_model(model):
        return None
    seen = model.zoomed(made.zoom) if made.zoom else model
    return try_model(seen, measured_part(made.image, 2, TRIED_SIDE), progress=progress)


def decode_work(kept: PredictRun, run: PredictRun) -> Work:
    """Return the computation of a run whose maps an earlier one kept."""
    maps = kept.prediction.maps
    if maps is None:
        raise ValueError("The earlier run kept no maps.")

    def work(progress: Progress) -> PredictRun:
        decoding = run.prediction.decoding
        labels = decode_maps(kept.seen_model, maps, decoding, progress=progress)
        made = replace(run.prediction, labels=labels, maps=maps, zoom=kept.prediction.zoom)
        return replace(_finished(run, made), trial=kept.trial)

    return work


def _finished(run: PredictRun, made: Prediction) -> PredictRun:
    lineage = None if made.labels is None else lineage_of(made.labels)
    return replace(run, prediction=made, lineage=lineage)


def can_be_kept(model: TrainedModel, image: Image) -> bool:
    """Whether the maps of an image fit in memory."""
    maps = 0 if model.decoder is None else model.decoder.n_maps
    pixels = math.prod(n for axis, n in zip(image.axes, image.shape, strict=True) if axis != "C")
    return pixels * (len(model.classes) + maps) * np.dtype(np.float32).itemsize <= IN_MEMORY


def is_larger_than_memory(image: Image) -> bool:
    """Whether an image is read when asked for, and would not fit in memory with its result."""
    return image.lazy and math.prod(image.shape) * _AT_ONCE_BYTES > allowed()


__all__ = [
    "PredictDockOptions",
    "PredictRun",
    "begin_run",
    "can_be_kept",
    "decode_work",
    "is_larger_than_memory",
    "predict_work",
    "settled_result",
]
