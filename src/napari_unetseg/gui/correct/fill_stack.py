"""Filling of a stack from its painted planes, and its result in the Labels layer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.image import Image
from napari_unetseg.core.label_image import without_single_axes
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.training.fill_volume import FilledVolume, FillOptions, fill_volume
from napari_unetseg.gui.shared.layers import image_of, labels_of, new_labels, plain_shape, role_of
from napari_unetseg.gui.shared.preview import is_preview
from napari_unetseg.gui.shared.session import UNDOABLE_PIXELS, Session
from napari_unetseg.gui.shared.task import Reporter, Work
from napari_unetseg.gui.train.fine_tune_layers import source_layer

FILLED = "objects"
"""Role of a new layer of filled objects."""

_CHANGED = (
    "The labels changed during the computation, so they were left as they are. Press again: it "
    "goes on from what was learnt."
)
_BEFORE = "filled_from"


@dataclass(frozen=True, eq=False)
class FilledLayer:
    """A filled stack, the layers it is of, and the state of the labels at its start."""

    filled: FilledVolume
    labels: Labels
    source: Layer
    options: FillOptions
    state: tuple[int, ...]


def stack_of(layers: Any, labels: Layer | None) -> Layer | None:
    """Return the image layer of a stack that labels are on, or None."""
    if not isinstance(labels, Labels) or labels.multiscale or labels.ndim < 3:
        return None
    maker = source_layer(layers, labels)
    shape = tuple(labels.data.shape)
    for layer in [*filter(None, [maker]), *reversed(layers)]:
        fits = isinstance(layer, ImageLayer) and _long(plain_shape(layer)) == _long(shape)
        if fits and not is_preview(layer):
            stack = _stack(layer)
            depth = tuple(stack.length(axis) for axis in stack.axes if axis != "C")
            if stack.axes.replace("C", "") == "ZYX" and (1,) * (labels.ndim - 3) + depth == shape:
                return layer
    return None


def _long(shape: tuple[int, ...]) -> list[int]:
    return [n for n in shape if n > 1]


def _stack(layer: Layer) -> Image:
    """Return the image of a layer, without a time of its own."""
    image = image_of(layer)
    return without_single_axes(image.grey() if image.rgb else image, "CZYX")


def fill_work(session: Session, labels: Labels, source: Layer, options: FillOptions) -> Work:
    """Return the computation that fills a stack from the painted objects of its planes.

    These are the locked ones. Of labels that are the user's own, and hold nothing in most planes,
    they are all.
    """
    locks = session.locks(labels)
    # Pixels that another plugin changed count as painted.
    locks.lock_edits()
    image, ids, state = _stack(source), labels_of(labels), locks.state()
    ids = ids.reshape(ids.shape[-3:])
    locked = PixelSet(ids.shape)
    for box, mask in locks.pixels().boxes():
        locked.add(box[-3:], mask.reshape(mask.shape[-3:]))
    planes = () if _is_result(labels) else _planes_of_few(ids)
    start, name = _earlier(session, labels), session.name_for("unet")

    def work(report: Reporter) -> FilledLayer:
        filled = fill_volume(
            image,
            ids,
            options,
            locked=locked,
            planes=planes,
            start=start,
            name=name,
            watch=report.show,
            progress=report,
        )
        return FilledLayer(filled, labels, source, options, state)

    return work


def _is_result(labels: Labels) -> bool:
    return bool(role_of(labels)) or _BEFORE in labels.metadata


def _planes_of_few(ids: NDArray[Any]) -> tuple[int, ...]:
    """Return the planes that have objects, if most have none."""
    planes = np.flatnonzero((ids > 0).any((1, 2)))
    return tuple(planes.tolist()) if 2 * len(planes) < len(ids) else ()


def show_filled(session: Session, layers: Any, result: FilledLayer) -> str:
    """Put filled objects into the layer, lock what was painted, and return the message."""
    filled, labels = result.filled, result.labels
    session.add_model(filled.model, origin="trained")
    labels.metadata[_BEFORE] = filled.model.fingerprint
    if session.locks(labels).state() != result.state:
        return _CHANGED
    target, remark = _written(session, layers, result)
    planes = len(filled.planes)
    locks = session.locks(target)
    shape = target.data.shape
    kept = (filled.kept & (filled.labels > 0)).reshape(shape)
    locks.approve(tuple(slice(0, n) for n in shape), kept)
    locks.remember()
    return (
        f"{filled.n_objects} objects in 3D from {planes} plane{'s' * (planes != 1)}; what was "
        f"painted is as it was, and locked.{remark} Next: correct the objects of another plane, "
        "and press again."
    )


def _written(session: Session, layers: Any, result: FilledLayer) -> tuple[Labels, str]:
    """Write the objects as one undo step; into a new layer where that cannot be."""
    labels = result.labels
    new = result.filled.labels.reshape(labels.data.shape)
    differs = np.asarray(labels.data != new)
    fits = int(new.max(initial=0)) <= np.iinfo(labels.data.dtype).max
    can = fits and isinstance(labels.data, np.ndarray)
    if can and int(np.count_nonzero(differs)) <= UNDOABLE_PIXELS:
        where = np.nonzero(differs)
        session.locks(labels).write(where, new[where].astype(labels.data.dtype))
        return labels, ""
    known = result.options.model_dump()
    role = role_of(labels) or FILLED
    name = f"{result.source.name} {FILLED}"
    made = new_labels(layers, result.source, role, new, name=name, options=known)
    made.metadata[_BEFORE] = result.filled.model.fingerprint
    return made, f" They are in the new layer {made.name!r}."


def _earlier(session: Session, labels: Labels) -> TrainedModel | None:
    """Return the model that filled these labels before, if it is still there."""
    before = labels.metadata.get(_BEFORE)
    return next((one for one in session.models if one.fingerprint == before), None)


__all__ = ["FILLED", "FilledLayer", "fill_work", "show_filled", "stack_of"]
