"""Filling of a stack from its painted planes, and its result in the Labels layer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer

from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.training.fill_volume import FilledVolume, FillOptions, fill_volume
from napari_unetseg.gui.shared.layers import image_of, labels_of, new_labels, role_of
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
    if not isinstance(labels, Labels) or labels.multiscale or labels.ndim != 3:
        return None
    maker = source_layer(layers, labels)
    for layer in [*filter(None, [maker]), *reversed(layers)]:
        if isinstance(layer, ImageLayer) and not is_preview(layer):
            image = image_of(layer)
            grey = image.grey() if image.rgb else image
            shape = tuple(n for n, axis in zip(grey.shape, grey.axes, strict=True) if axis != "C")
            if grey.axes.replace("C", "") == "ZYX" and shape == tuple(labels.data.shape):
                return layer
    return None


def fill_work(session: Session, labels: Labels, source: Layer, options: FillOptions) -> Work:
    """Return the computation that fills a stack from the locked objects of its planes."""
    locks = session.locks(labels)
    # Pixels that another plugin changed count as painted.
    locks.lock_edits()
    image, ids, locked, state = image_of(source), labels_of(labels), locks.pixels(), locks.state()
    start, name = _earlier(session, labels), session.name_for("unet")

    def work(report: Reporter) -> FilledLayer:
        filled = fill_volume(
            image,
            ids,
            options,
            locked=locked,
            start=start,
            name=name,
            watch=report.show,
            progress=report,
        )
        return FilledLayer(filled, labels, source, options, state)

    return work


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
    whole = tuple(slice(0, n) for n in filled.kept.shape)
    locks.approve(whole, filled.kept & (filled.labels > 0))
    locks.remember()
    return (
        f"{filled.n_objects} objects in 3D from {planes} plane{'s' * (planes != 1)}; what was "
        f"painted is as it was, and locked.{remark} Next: correct the objects of another plane, "
        "and press again."
    )


def _written(session: Session, layers: Any, result: FilledLayer) -> tuple[Labels, str]:
    """Write the objects as one undo step; into a new layer where that cannot be."""
    labels, new = result.labels, result.filled.labels
    differs = labels.data != new
    fits = int(new.max(initial=0)) <= np.iinfo(labels.data.dtype).max
    if fits and int(np.count_nonzero(differs)) <= UNDOABLE_PIXELS:
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
