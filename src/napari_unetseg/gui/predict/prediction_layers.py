"""Results of a prediction as layers, and the sentences about them: all from the run itself."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.object_size import zoom_in_words
from napari_unetseg.core.inference.plausibility import FITS
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.shipped_models import FAST, name_of_model, names
from napari_unetseg.gui.predict.predict_run import PredictRun
from napari_unetseg.gui.shared.layers import (
    PROBABILITIES,
    find_layer,
    geometry_of,
    marked,
    show_image,
)
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.track_layers import show_lineage
from napari_unetseg.gui.shared.training_layers import PREDICTED, PREDICTED_OBJECTS

PASSING = "A preview of the plane on screen: nothing was kept. Predict everything to keep it."
_CORRECT = (
    "Next: Correct, then Train on. To count or measure objects, choose Result: objects and press "
    "Predict again."
)
_NEXT = "Next: Measure; or Correct, then Train on."
_DOUBT = (
    "{name} hardly fits this image: plausibility {plausibility:.2f}, enough is {fits:g}. Next: Try "
    "all compares the shipped models here; if none fits, paint a few strokes and Train."
)
_SPLIT = "If touching objects are split wrongly, adjust Split touching: the result follows at once."
_SPECK = 0.1
"""Share of the median size under which an object is called a speck."""

_COUNTED_AT_ONCE = 8_000_000
_LARGE = 16_000_000
"""Pixels from which a faster version of a model is worth a sentence."""


def show_prediction(session: Session, layers: Any, run: PredictRun, reason: str = "") -> str:
    """Put the result of a run into layers, and return the message for the user.

    Parameters
    ----------
    reason
        A sentence on why this model was run. It follows the result.
    """
    if run.prediction.path is not None:
        return _show_written(session, layers, run)
    if run.wants_objects:
        return _show_objects(session, layers, run, reason)
    found, remarks = "", []
    if run.prediction.probabilities is not None:
        _show_probabilities(layers, run)
        remarks.append("Probabilities are in Image layers, one a class.")
    if run.prediction.labels is not None:
        labels = run.prediction.labels.asarray()
        _, remark = _show_labels(session, layers, run, labels, PREDICTED, "classes")
        found = _shares(labels, run.model)
        remarks += [remark, _doubt(run) or _CORRECT, scale_in_words(run.prediction.zoom)]
    return " ".join(filter(None, (found, _stopped(run), reason, *remarks)))


def earlier_classes(layers: Any, run: PredictRun) -> NDArray[Any] | None:
    """Return the classes that an earlier run wrote, where a new one can write beside them."""
    old = find_layer(layers, PREDICTED, run.layer)
    if not isinstance(old, Labels) or not isinstance(old.data, np.ndarray):
        return None
    image = run.prediction.image
    shape = tuple(image.length(axis) for axis in image.axes if axis != "C")
    dtype = np.min_scalar_type(max(run.model.values))
    return old.data if old.data.shape == shape and old.data.dtype == dtype else None


def _doubt(run: PredictRun) -> str:
    """Return a warning where the model hardly fits the image, and what to do; or nothing."""
    trial = run.trial
    if trial is None or trial.fits:
        return ""
    return _DOUBT.format(name=run.model.name, plausibility=trial.plausibility, fits=FITS)


def scale_in_words(zoom: Sequence[float]) -> str:
    """Return a sentence on how the image was scaled; nothing where it was not."""
    said = zoom_in_words(zoom) if zoom else ""
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _show_objects(session: Session, layers: Any, run: PredictRun, reason: str) -> str:
    made = run.prediction
    ids = made.result.asarray()
    shown, remark = _show_labels(session, layers, run, ids, PREDICTED_OBJECTS, "objects")
    if remark:
        # Corrections were kept beside what was predicted.
        ids = np.asarray(shown.data)
    doubt = _doubt(run)
    split = _SPLIT if made.maps is not None and not doubt else ""
    # Ids that last through time have the pixels of all times: a short track is no speck.
    specks = "" if run.lineage is not None else _specks(ids)
    found = f"{objects_in_words(_count(ids))}{made.on_stack}."
    why = (_stopped(run), reason, specks, remark)
    rest = (
        doubt or _NEXT,
        split,
        scale_in_words(made.zoom),
        faster_in_words(run.model, made.image),
    )
    return " ".join(filter(None, (found, *why, *rest)))


def _show_labels(
    session: Session, layers: Any, run: PredictRun, labels: NDArray[Any], role: str, kind: str
) -> tuple[Labels, str]:
    made, remark = session.show_labels(
        layers,
        run.layer,
        role,
        labels,
        name=f"{run.layer.name} {kind}, {run.model.name}",
        options=run.metadata(),
        before=run.before,
        objects=kind == "objects",
        lineage=run.lineage,
    )
    made.visible = True
    return made, remark


def _show_probabilities(layers: Any, run: PredictRun) -> None:
    proba = run.prediction.probabilities
    if proba is None:
        return
    at = proba.axes.index("C")
    for number, name in enumerate(proba.channel_names):
        show_image(
            layers,
            run.layer,
            f"{PROBABILITIES} {name}",
            np.take(proba.data, number, axis=at),
            name=f"{run.layer.name} {name}, {run.model.name}",
            options=run.metadata(),
            before=run.before,
            contrast_limits=(0, 1),
            visible=False,
        )


def _show_written(session: Session, layers: Any, run: PredictRun) -> str:
    """Put a file that was written into a layer, lazily, in place of an earlier one."""
    made, what, source = run.prediction, run.options.what, run.layer
    roles = {"objects": PREDICTED_OBJECTS, "classes": PREDICTED}
    role = roles.get(what, PROBABILITIES)
    data = list(run.levels)
    look: dict[str, Any] = {
        "name": f"{source.name} {what}, {run.model.name}",
        "metadata": marked(role, source, run.metadata(), run.before),
        **geometry_of(source, ndim=data[0].ndim),
    }
    old = find_layer(layers, role, source)
    if what == "probabilities":
        shown: Layer = ImageLayer(data, multiscale=True, contrast_limits=(0, 1), **look)
    else:
        shown = Labels(data, multiscale=True, **look)
    if old is not None and session.may_replace(old):
        layers.remove(old)
    layers.append(shown)
    if isinstance(shown, Labels):
        show_lineage(layers, shown, run.lineage)
    n = "" if made.n_objects is None else f"{objects_in_words(made.n_objects)}{made.on_stack}. "
    written = f"{n}Written to {made.path}, and shown from there. Next: Measure."
    return f"{written} {faster_in_words(run.model, made.image)}".strip()


def faster_in_words(model: TrainedModel, image: Image) -> str:
    """Return a sentence on the fast version of a shipped model, for a large image; or nothing."""
    pixels = math.prod(image.length(axis) for axis in image.axes if axis != "C")
    fast = [name for name, usual in FAST.items() if usual == model.name and name in names()]
    if pixels < _LARGE or not fast or not name_of_model(model):
        return ""
    return f"On images as large as this, {fast[0]} takes a fraction of the time."


def _stopped(run: PredictRun) -> str:
    at = run.prediction.stopped_at
    return "" if at is None else f"Stopped at {at:.0%}: what was predicted by then is kept."


def _shares(labels: NDArray[Any], model: TrainedModel) -> str:
    counts = np.bincount(labels.ravel(), minlength=max(model.values) + 1) / labels.size
    shares = [
        f"{100 * counts[value]:.1f} % {name}"
        for name, value in zip(model.classes, model.values, strict=True)
    ]
    return f"Of the pixels, {', '.join(shares)}."


def objects_in_words(n: int) -> str:
    """Return a number of objects with the noun, such as "1 object"."""
    return f"{n:,} object{'s' * (n != 1)}"


def _count(ids: NDArray[Any]) -> int:
    """Return the number of ids, which have gaps where corrections were kept."""
    return int(np.count_nonzero(np.bincount(ids.ravel())[1:]))


def _specks(ids: NDArray[Any]) -> str:
    """Return how many objects are so small that they are hardly meant."""
    if ids.size > _COUNTED_AT_ONCE:
        return ""
    sizes = np.bincount(ids.ravel())[1:]
    sizes = sizes[sizes > 0]
    n = int(np.count_nonzero(sizes < _SPECK * np.median(sizes))) if len(sizes) else 0
    if not n:
        return ""
    what, them = ("1 is tiny", "it") if n == 1 else (f"{n} are tiny", "them")
    share = f"under {100 * _SPECK:.0f} % of the median"
    return f"{what} ({share}): raise Smallest size to remove {them}."


__all__ = [
    "PASSING",
    "earlier_classes",
    "faster_in_words",
    "objects_in_words",
    "scale_in_words",
    "show_prediction",
]
