"""The session of one viewer, shared by its tools: models, history and locked pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.notifications import show_info
from psygnal import Signal

from napari_unetseg.core.corrections.locked_pixels import merge_classes, merge_objects
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.objects.lineage import Lineage
from napari_unetseg.gui.shared.data_versions import is_as_written
from napari_unetseg.gui.shared.file_calibration import follow_files
from napari_unetseg.gui.shared.first_compilation import compile_once
from napari_unetseg.gui.shared.layer_locks import LayerLocks
from napari_unetseg.gui.shared.layers import (
    LayerList,
    family_of,
    find_layer,
    give_name,
    is_input,
    kept_as_it_is,
    mark_again,
    marked,
    new_labels,
    source_of_layer,
)
from napari_unetseg.gui.shared.track_layers import show_lineage, show_tracks

if TYPE_CHECKING:
    from napari_unetseg.core.model.trained_model import TrainedModel
    from napari_unetseg.core.training.model_history import History, Version

UNDOABLE_PIXELS = 8_000_000
"""A result that changes more pixels than this replaces the layer, for undoing it would cost more
memory (about 24 bytes a pixel and step) than a laptop has."""


def unwrapped(viewer: Any) -> Any:
    """Return the viewer behind napari's plugin proxy, which makes a new object of a layer each
    time."""
    return getattr(viewer, "__wrapped__", viewer)


class Session:
    """The shared state of the tools of one viewer.

    `Session.of` returns it; there is one per viewer, with the same lifetime.
    """

    models_changed = Signal()
    """Sent when a model was trained or loaded, or the current model changed."""

    model_chosen = Signal(object)
    """Sent with the model that the user went back to."""

    page_wanted = Signal(str)
    """Sent with the title of the tool to show."""

    runs_changed = Signal()
    """Sent when a run begins or has ended."""

    step_done = Signal()
    """Sent when a tool has put its result into layers."""

    def __init__(self) -> None:
        self.models: list[TrainedModel] = []
        self.closed_options: dict[str, Any] = {}
        self._exchanged: tuple[TrainedModel, TrainedModel | None] | None = None
        self._workbench: ReferenceType[Any] | None = None
        self._locks: WeakKeyDictionary[Labels, LayerLocks] = WeakKeyDictionary()

    @classmethod
    def of(cls, viewer: Any) -> "Session":
        """Return the session of `viewer`, which may be napari's plugin proxy."""
        plain = unwrapped(viewer)
        if plain not in _BY_VIEWER:
            _BY_VIEWER[plain] = cls()
            follow_files(plain)
            compile_once(plain)
        return _BY_VIEWER[plain]

    @cached_property
    def history(self) -> "History":
        """The versions of the models; training code is imported on first use."""
        from napari_unetseg.core.training.model_history import History

        return History()

    @property
    def workbench(self) -> Any:
        """The Workbench of this viewer, or None while there is none."""
        return None if self._workbench is None else self._workbench()

    @workbench.setter
    def workbench(self, workbench: Any) -> None:
        # The session must not keep the viewer alive, to which the Workbench holds on.
        self._workbench = None if workbench is None else ref(workbench)

    @property
    def current(self) -> "TrainedModel | None":
        """The model offered first: the newest, or the one that the user went back to."""
        return self.models[-1] if self.models else None

    def name_for(self, kind: str) -> str:
        """Return a name for the next model of a kind: that and a number, counted for each kind."""
        names = {version.name for version in self.history.versions}
        number = 1
        while f"{kind} {number}" in names:
            number += 1
        return f"{kind} {number}"

    def add_model(self, model: "TrainedModel", **known: Any) -> None:
        """Add a model for the tools of this viewer; the newest is last.

        Parameters
        ----------
        **known
            Arguments of `History.add`.
        """
        self.history.add(model, **known)
        self._take_up(model)

    def use_model(self, model: "TrainedModel") -> None:
        """Make a model the current one; add it if it is missing."""
        if model not in self.models:
            self.history.add(model)
        self._take_up(model)

    def go_back(self, model: "TrainedModel") -> None:
        """Make a model of the history the current one, for every tool."""
        # It may have another name by now.
        there = [one for one in self.models if one.fingerprint == model.fingerprint]
        found = model if model in there or not there else there[-1]
        self.use_model(found)
        self.model_chosen.emit(found)

    def rename_model(self, model: "TrainedModel", name: str) -> "TrainedModel":
        """Give a model of the session another name, and return it under that name.

        Raises
        ------
        InputError
            If the name is none for a file, or that of another model.
        """
        from napari_unetseg.core.model.model_library import checked_name
        from napari_unetseg.core.models_io import shipped_models as shipped

        name = checked_name(name)
        taken = {one.name for one in self.models if one is not model} | set(shipped.names())
        if name in taken:
            raise InputError(f"There is a model {name!r} already. Choose another name.")
        renamed = replace(model, name=name)
        self._exchange(model, renamed)
        return renamed

    def drop_model(self, model: "TrainedModel") -> None:
        """Remove a model from the session; its version stays in the history, without weights."""
        self._exchange(model, None)

    def _exchange(self, model: "TrainedModel", other: "TrainedModel | None") -> None:
        self.history.replace(model, other)
        swapped = (other if one is model else one for one in self.models)
        self.models[:] = [one for one in swapped if one is not None]
        self._exchanged = (model, other)
        self.models_changed.emit()
        self._exchanged = None

    def next_choice(self, chosen: "TrainedModel | str | None") -> "TrainedModel | str | None":
        """Return the model for a box to choose after `models_changed`: the current one, since it is
        new. When one was renamed or removed, a box keeps its own, unless it is that one.

        Parameters
        ----------
        chosen
            The model in the box so far: a shipped one may be a name, and None is none.
        """
        if self._exchanged is None:
            return self.current
        old, new = self._exchanged
        return (new or self.current) if chosen is old else chosen

    def adopt_models(self, models: "Sequence[TrainedModel]", versions: "Sequence[Version]") -> None:
        """Add the models of a project and their versions."""
        known = {model.fingerprint for model in self.models}
        new = [model for model in models if model.fingerprint not in known]
        there = {version.identity for version in self.history.versions}
        self.history.adopt([v for v in versions if v.identity not in there], new)
        self.models += new
        if new:
            self._take_up(new[-1])

    def _take_up(self, model: "TrainedModel") -> None:
        self.models[:] = [*(other for other in self.models if other is not model), model]
        gone = self.history.prune(model)
        self.models[:] = [one for one in self.models if all(one is not other for other in gone)]
        self.models_changed.emit()

    def locks(self, layer: Labels) -> LayerLocks:
        """Return the locked pixels of a layer, whose events are followed from the first call on."""
        if layer not in self._locks:
            self._locks[layer] = LayerLocks(layer)
        return self._locks[layer]

    def may_replace(self, layer: Layer) -> bool:
        """Whether a result holds nothing but what a run wrote; if not, a notification says so."""
        if isinstance(layer, Labels):
            locks = self.locks(layer)
            free = not (locks.replaced or locks.lock_edits() or locks)
        else:
            free = is_as_written(layer)
        if not free:
            show_info(kept_as_it_is(layer))
        return free

    def show_labels(
        self,
        layers: LayerList,
        source: Layer,
        role: str,
        data: Any,
        *,
        name: str,
        options: dict[str, Any],
        before: Mapping[str, Any] | None = None,
        objects: bool = False,
        lineage: Lineage | None = None,
    ) -> tuple[Labels, str]:
        """Write a label result into its layer as one undoable step, around the locked pixels.

        Objects that are linked over time also get a layer of their tracks.

        Parameters
        ----------
        data
            Labels, of the source's grey shape.
        before
            See `marked`.
        objects
            Whether `data` are ids of objects rather than classes; corrected objects stay whole.
        lineage
            Of objects that are linked over time.

        Returns
        -------
        layer, remark
            The layer, and a sentence for the user if something unusual was done, else ``""``.
        """
        old = find_layer(layers, role, source)
        layer, remark = self._shown(
            layers, source, role, data, name=name, options=options, before=before, objects=objects
        )
        if isinstance(old, Labels) and old not in layers:
            show_tracks(layers, old, None)
        _hide_others(layers, layer)
        show_lineage(layers, layer, lineage)
        return layer, remark

    def _shown(
        self,
        layers: LayerList,
        source: Layer,
        role: str,
        data: Any,
        *,
        name: str,
        options: dict[str, Any],
        before: Mapping[str, Any] | None,
        objects: bool,
    ) -> tuple[Labels, str]:
        """Write a label result into its layer, or a new one."""
        old = find_layer(layers, role, source)
        known: dict[str, Any] = {"name": name, "options": options, "before": before}
        if not isinstance(old, Labels):
            return self._new(layers, source, role, data, **known), ""
        locks = self.locks(old)
        if locks.replaced:
            return self._new(layers, source, role, data, **known), kept_as_it_is(old)
        edited, locked = locks.lock_edits(), locks.pixels()
        if locked and locked.shape != np.shape(data):
            layer = self._new(layers, source, role, data, **known)
            return layer, f"{old.name!r} holds your corrections and was kept; this is a new layer."
        remark = ""
        if locked:
            merge = merge_objects if objects else merge_classes
            data = merge(np.asarray(old.data), np.asarray(data), locked)
            remark = f"{len(locked):,} pixels that you corrected were kept."
            if edited:
                remark += f" {edited:,} of them were changed by another plugin or the console."
        can = self._can_write(old, data)
        if can and self._write(old, data):
            mark_again(old, marked(role, source, options, before))
            give_name(old, name)
            return old, remark
        if locked:
            remark += f" {old.name!r} is still there; this is a new layer."
        else:
            layers.remove(old)
            remark = "Too much changed to be undone, so the layer was replaced." if can else ""
        layer = self._new(layers, source, role, data, **known)
        if locked:
            self.locks(layer).restore(locked)
        return layer, remark

    def _new(self, layers: LayerList, source: Layer, role: str, data: Any, **known: Any) -> Labels:
        layer = new_labels(layers, source, role, data, **known)
        self.locks(layer)
        return layer

    def _can_write(self, layer: Labels, data: Any) -> bool:
        same = isinstance(layer.data, np.ndarray) and isinstance(data, np.ndarray)
        return same and layer.data.shape == data.shape and layer.data.dtype == data.dtype

    def _write(self, layer: Labels, data: Any) -> bool:
        """Change `layer` to `data` in one undo step, unless too many pixels change."""
        differs = layer.data != data
        count = int(np.count_nonzero(differs))
        if count > UNDOABLE_PIXELS:
            return False
        if count:
            where = np.nonzero(differs)
            self.locks(layer).write(where, data[where])
        return True


def _hide_others(layers: LayerList, shown: Labels) -> None:
    """Hide the other results of the same image, which would blend with the one that is new."""
    family = family_of(layers, shown)
    for layer in layers:
        made = isinstance(layer, Labels) and source_of_layer(layer) and is_input(layer)
        if made and layer is not shown and family_of(layers, layer) == family:
            layer.visible = False


_BY_VIEWER: "WeakKeyDictionary[Any, Session]" = WeakKeyDictionary()
