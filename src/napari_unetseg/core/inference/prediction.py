"""Prediction: a trained model over a whole image, with everything it was run with.

Docks, commands, recipes and Python all come through here.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.object_size import (
    SizeOptions,
    check_diameter,
    measured_part,
    median_diameter,
    zoom_for,
)
from napari_unetseg.core.inference.open_segmenter import ready
from napari_unetseg.core.inference.plausibility import plausible_zoom
from napari_unetseg.core.inference.predict_objects import (
    decode_image,
    predict_objects_image,
    unseen_as_background,
)
from napari_unetseg.core.inference.predict_options import (
    PredictOptions,
    decoding_at_scale,
    settle_decoding,
    settle_what,
    stack_in_words,
    with_found_scale,
)
from napari_unetseg.core.inference.predict_tiles import (
    predict_classes_image,
    predict_maps_image,
    predict_proba_image,
)
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.normalisation import Normalisation
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.progress import Progress, StopRecorder, part, silent, to_the_end

_MEASURING_SHARE = 0.2
"""Part of a prediction that goes to measuring objects first."""

_MAPS_SHARE = 0.9
"""Part of a prediction of objects that goes to their maps, where those are kept."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Prediction:
    """A prediction and everything it was made with.

    `prepare_prediction` fixes it when a run starts, and `run_prediction` returns it with the
    result: nothing that is changed meanwhile has a part in it.

    Parameters
    ----------
    model, image
        The model that is run, and the image it is run on.
    options
        Options of the run; `what` is never ``"auto"``.
    decoding
        Options for making objects, complete; a smallest size of 0 is as trained, at `zoom`.
    zoom
        Scale at which the model saw the image, per axis; empty where it saw the image as it is.
    stopped_at
        Fraction that was done when the user stopped; None when all was.
    labels
        Classes or objects, see `predict`.
    probabilities
        float32, C the classes.
    maps
        Output of the network that objects can be made of again, see `predict_maps`; None where it
        was not kept or is not complete.
    path
        File that the result was written to, where it was too large for memory.
    n_objects
        Number of objects in that file; None where it holds no objects.
    """

    model: TrainedModel
    image: Image
    options: PredictOptions
    decoding: DecodeOptions
    zoom: tuple[float, ...] = ()
    stopped_at: float | None = None
    labels: Image | None = None
    probabilities: Image | None = None
    maps: Image | None = None
    path: Path | None = None
    n_objects: int | None = None

    @property
    def result(self) -> Image:
        """Labels, or the probabilities where there are no labels."""
        made = self.probabilities if self.labels is None else self.labels
        if made is None:
            raise ValueError("This prediction has not been run.")
        return made

    @property
    def on_stack(self) -> str:
        """How the planes of a stack were brought together, as a clause; see `stack_in_words`."""
        decoding = self.decoding if self.options.what == "objects" else None
        return stack_in_words(self.options, self.model, self.image, decoding)


def prepare_prediction(
    model: TrainedModel,
    image: Image,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    decoding: DecodeOptions | None = None,
) -> Prediction:
    """Fix everything that a prediction is made with; nothing is computed.

    Parameters
    ----------
    decoding
        Options for making objects. Those that were not set get the model's defaults.

    Notes
    -----
    The scale is found for a model that knows objects of one diameter alone, unless the options set
    how.
    """
    settled = settle_what(options, model, decoding)
    if model.one_diameter and not model.zoom:
        settled = with_found_scale(settled, model, image)
    return Prediction(
        model=model, image=image, options=settled, decoding=settle_decoding(model, decoding)
    )


def run_prediction(
    prediction: Prediction,
    *,
    out: Any = None,
    keep_maps: bool = False,
    progress: Progress = silent,
) -> Prediction:
    """Run a prediction and return it with its result.

    Parameters
    ----------
    out
        Where to write classes, probabilities or objects; see `predict`.
    keep_maps
        Keep the output of the network beside the objects, so that `decode_maps` makes them anew.
    progress
        May cancel, or stop early: then what is not finished is 0, or as it was in `out`.

    Raises
    ------
    InputError
        When image and model do not fit each other.
    """
    model, image, options = prediction.model, prediction.image, prediction.options
    seen, rest = at_size(model, image, options, progress=progress)
    started = replace(prediction, zoom=seen.zoom)
    if options.what == "objects" and keep_maps:
        return _objects_with_maps(started, seen, rest)
    heard = StopRecorder(rest)
    given, segmenter, scaling, working = ready(seen, image, options, heard)
    tile = options.tile or None
    if options.what == "objects":
        labels = predict_objects_image(
            given,
            segmenter,
            scaling,
            model.values,
            decoding_at_scale(seen, prediction.decoding),
            tile=tile,
            out=out,
            progress=working,
        )
        return replace(started, labels=labels, stopped_at=heard.stopped_at)
    if options.what == "classes":
        labels = _classes_image(given, segmenter, scaling, model.values, tile, out, working)
        return replace(started, labels=labels, stopped_at=heard.stopped_at)
    both = options.what != "probabilities"
    proba = predict_proba_image(
        given, segmenter, scaling, tile=tile, out=None if both else out, progress=working
    )
    classes = classes_of(model, proba, out=out) if both else None
    return replace(started, labels=classes, probabilities=proba, stopped_at=heard.stopped_at)


def predict(
    model: TrainedModel,
    image: Image,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    *,
    decoding: DecodeOptions | None = None,
    out: Any = None,
    progress: Progress = silent,
) -> Image:
    """Predict an image, tile by tile.

    Parameters
    ----------
    image
        Any size; of the channels the model takes, colour becoming grey where it takes one.
    options
        Result, scale of the image, tiles, test-time augmentation and device.
    decoding
        Options for making objects. Those that were not set get the model's defaults.
    out
        Where to write, if not to memory: anything with slices, of the result's shape and type.
    progress
        May cancel, or stop early: then what is not finished is 0.

    Returns
    -------
    Image
        Classes: uint8 (larger if a value needs it), the image's axes without C.
        Probabilities: float32, C the classes. Objects: int32, the image's axes without C; lazy, in
        a temporary file, when they are too large for memory.

    Raises
    ------
    InputError
        When image and model do not fit each other.

    Notes
    -----
    Intensities are scaled by the whole image's statistics, once.
    """
    prepared = prepare_prediction(model, image, options, decoding)
    return run_prediction(prepared, out=out, progress=progress).result


def predict_maps(
    model: TrainedModel,
    image: Image,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    *,
    out: Any = None,
    progress: Progress = silent,
) -> Image:
    """Predict the maps that objects are made of, to be decoded as often as wanted.

    Returns
    -------
    Image
        float32, C the probability of each class, then the maps of the model's decoder.

    See Also
    --------
    predict : the parameters, and what is raised.
    """
    seen, rest = at_size(model, image, options, progress=progress)
    given, segmenter, scaling, working = ready(seen, image, options, rest)
    tile = options.tile or None
    return predict_maps_image(given, segmenter, scaling, tile=tile, out=out, progress=working)


def decode_maps(
    model: TrainedModel,
    maps: Image,
    decoding: DecodeOptions | None = None,
    *,
    out: Any = None,
    progress: Progress = silent,
) -> Image:
    """Make objects of maps.

    Parameters
    ----------
    model
        As it was shown the image, see `TrainedModel.zoomed`.
    maps
        As `predict_maps` gives them.
    decoding
        Options for making objects. Those that were not set get the model's defaults.
    out, progress
        See `decode_image`, as for what is returned.
    """
    return decode_image(
        maps,
        model.values,
        model.decoder,
        decoding_at_scale(model, decoding),
        # Maps of stacks have their channels before the planes.
        ndim=3 if "CZ" in maps.axes else 2,
        out=out,
        progress=progress,
    )


def classes_of(model: TrainedModel, proba: Image, *, out: NDArray[Any] | None = None) -> Image:
    """Choose the likeliest class of each pixel.

    Parameters
    ----------
    proba
        Probabilities, C the classes; all 0 where nothing was predicted before a stop.
    out
        (axes without C): written where something was predicted, otherwise left as it is. When
        missing, a new array of zeros.

    Returns
    -------
    Image
        Label values of the classes, of the axes without C.
    """
    at, numbers = proba.axes.index("C"), proba.asarray()
    if out is None:
        shape = numbers.shape[:at] + numbers.shape[at + 1 :]
        out = np.zeros(shape, np.min_scalar_type(max(model.values)))
    values = np.array(model.values, out.dtype)
    np.copyto(out, values[numbers.argmax(at)], where=numbers.any(at))
    return proba.like(out, proba.axes.replace("C", ""))


def sized(
    model: TrainedModel,
    image: Image,
    options: PredictOptions,
    *,
    progress: Progress = silent,
) -> TrainedModel:
    """Return the model at the scale that the options ask for: the image is resampled for it.

    Raises
    ------
    InputError
        As `zoom_for`; or when objects are to be measured and image and model do not fit.
    """
    if options.diameter or options.rescale:
        return model.zoomed(zoom_for(model, image, options))
    if not options.auto_diameter:
        return model
    check_diameter(model)
    if model.ndim == 2 and model.decoder is not None:
        return model.zoomed(plausible_zoom(model, image, progress=progress))
    piece = measured_part(image, model.ndim)
    as_it_is = PredictOptions(what="objects", device=options.device)
    found = predict(model, piece, as_it_is, progress=progress).asarray()
    diameter = median_diameter([found], piece.spacing[-model.ndim :])
    if not diameter:
        return model
    return model.zoomed(zoom_for(model, image, SizeOptions(diameter=diameter)))


def at_size(
    model: TrainedModel, image: Image, options: PredictOptions, *, progress: Progress = silent
) -> tuple[TrainedModel, Progress]:
    """Return the model as `sized` does, and the progress that is left to predict with it.

    Measuring objects first is of no use in part: it may be cancelled, but not stopped early.
    """
    share = _MEASURING_SHARE if options.auto_diameter else 0.0
    first = to_the_end(part(progress, 0, share))
    seen = sized(model, image, options, progress=first)
    return seen, part(progress, share, 1)


def _objects_with_maps(
    prediction: Prediction, seen: TrainedModel, progress: Progress
) -> Prediction:
    """Predict objects and keep their maps, unless a stop left those unfinished."""
    heard = StopRecorder(part(progress, 0, _MAPS_SHARE))
    plain = prediction.options.model_copy(update=SizeOptions().model_dump())
    maps = predict_maps(seen, prediction.image, plain, progress=heard)
    rest = to_the_end(part(progress, _MAPS_SHARE, 1))
    model, decoding = prediction.model, prediction.decoding
    if heard.stopped_at is not None:
        filled = unseen_as_background(maps, model.values, decoding)
        labels = decode_maps(seen, filled, decoding, progress=rest)
        return replace(prediction, labels=labels, stopped_at=heard.stopped_at)
    labels = decode_maps(seen, maps, decoding, progress=rest)
    return replace(prediction, labels=labels, maps=maps)


def _classes_image(
    image: Image,
    segmenter: Segmenter,
    scaling: Normalisation,
    values: tuple[int, ...],
    tile: int | None,
    out: Any,
    progress: Progress,
) -> Image:
    first = values[0]
    if values == tuple(range(first, first + len(values))) and values[-1] < 256:
        return predict_classes_image(
            image, segmenter, scaling, first=first, tile=tile, out=out, progress=progress
        )
    axes = image.axes.replace("C", "")
    if out is None:
        shape = tuple(image.length(axis) for axis in axes)
        out = np.zeros(shape, np.min_scalar_type(max(values)))
    made = predict_classes_image(
        image, segmenter, scaling, tile=tile, out=_Values(out, values), progress=progress
    )
    return made.like(out, made.axes)


class _Values:
    """An array for classes, which turns them into label values as they are written."""

    def __init__(self, out: Any, values: tuple[int, ...]) -> None:
        self._out, self.shape, self.dtype = out, tuple(out.shape), np.dtype(out.dtype)
        self._values = np.array(values, self.dtype)

    def __setitem__(self, where: Any, classes: NDArray[np.uint8]) -> None:
        self._out[where] = self._values[classes]


__all__ = [
    "Prediction",
    "at_size",
    "classes_of",
    "decode_maps",
    "predict",
    "predict_maps",
    "prepare_prediction",
    "run_prediction",
    "sized",
]
