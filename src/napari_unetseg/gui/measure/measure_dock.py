"""The Measure dock: a table of the objects in a Labels layer, linked to the canvas."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils.events import Event, disconnect_events
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QFormLayout, QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetseg.core.label_image import has_below_zero
from napari_unetseg.core.measure import MeasureOptions, Table, column_kind
from napari_unetseg.core.objects.lineage import lineage_of
from napari_unetseg.core.progress import Progress
from napari_unetseg.core.review_queue import count_columns
from napari_unetseg.gui.measure.colouring import ColourBar, ColourScale, colours_of, scale_of
from napari_unetseg.gui.measure.export_files import FILE_KINDS, default_name, write_measured
from napari_unetseg.gui.measure.measured_objects import (
    MeasuredObjects,
    measure_copy,
    object_columns,
    summary_of,
)
from napari_unetseg.gui.measure.nuclei_choice import NucleiChoice, PairedLayers
from napari_unetseg.gui.queue.queue_store import count_in
from napari_unetseg.gui.shared.dock_help import text_button
from napari_unetseg.gui.shared.layer_provenance import note_measurement
from napari_unetseg.gui.shared.layer_ticks import LayerTicks
from napari_unetseg.gui.shared.layers import (
    axes_of,
    has_planes,
    image_of,
    index_along,
    is_input,
    over_axes,
    plain_shape,
    plane_index,
    role_of,
)
from napari_unetseg.gui.shared.navigate import go_to
from napari_unetseg.gui.shared.object_rows import ObjectTable
from napari_unetseg.gui.shared.save_dialog import ask_to_save
from napari_unetseg.gui.shared.task import Latest, Reporter, Task, Work
from napari_unetseg.gui.shared.tool import Tool
from napari_unetseg.gui.shared.track_layers import show_tracks

if TYPE_CHECKING:
    from napari_unetseg.gui.measure.column_histogram import ColumnHistogram

PLAIN = "Plain colours"

_STALE = "The labels have changed: press Measure again."
_WAIT_MS = 120
_TABLE_HEIGHT = 140
# Prefixes of columns that are no quantity: positions, ids, and values of all objects.
_NO_QUANTITY = ("t", "time", "z", "label", "parent", "first", "last", "true")


@dataclass(frozen=True, eq=False)
class _Coloured:
    found: MeasuredObjects
    colours: Any
    scale: ColourScale


class MeasureWidget(Tool[MeasureOptions]):
    """Measure the objects of a Labels layer, and navigate to them from the table.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Measure"
    help_text = "Measure size, shape, position and intensity of every object, in a table."
    run_text = "Measure"
    run_help = "Measure every object of the labels."
    pick_text = "Labels"
    at_sight = ("per",)
    runs_on_labels = True
    nothing_text = "There are no labels yet. Run Threshold or Predict, or open some."

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(napari_viewer, MeasureOptions())
        self._found: MeasuredObjects | None = None
        self._stale = False
        self._watched: tuple[Layer, ...] = ()
        self._saving: Task | None = None
        self._here: tuple[int, ...] = ()
        self._plain: WeakKeyDictionary[Labels, Any] = WeakKeyDictionary()
        self._written: WeakKeyDictionary[Labels, set[str]] = WeakKeyDictionary()
        self._painter = Latest(self)
        self._painter.answered.connect(self._on_coloured)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_WAIT_MS)
        self._soon.timeout.connect(self._show_here)
        self.viewer.layers.events.removed.connect(self._on_removed)
        self.viewer.dims.events.current_step.connect(self._on_moved)
        self.ticks = LayerTicks(self.viewer, self._fits, self._is_likely)
        self.ticks.setObjectName("images")
        self.ticks.setToolTip("Intensities are measured in every ticked image.")
        self.nuclei = NucleiChoice(self.viewer, self.accepts)
        self.table = ObjectTable()
        self.table.setToolTip("Click a row to go to the object.")
        # The histogram below it is in sight on a small screen, too.
        self.table.setMinimumHeight(_TABLE_HEIGHT)
        self.table.chosen.connect(self._go)
        self.colour = QComboBox()
        self.colour.setToolTip(
            "Colour the labels by the values of a column, and show its histogram, in which a range "
            "of values can be chosen."
        )
        self.colour.addItem(PLAIN)
        self.colour.currentIndexChanged.connect(self._on_column)
        self.bar_of_colours = ColourBar()
        # Loading the plots takes time: it is made with the first table.
        self.histogram: ColumnHistogram | None = None
        self._kept: NDArray[np.bool_] | None = None
        self._histogram_place = QWidget()
        self._histogram_place.hide()
        QVBoxLayout(self._histogram_place).setContentsMargins(0, 0, 0, 0)
        line = QWidget()
        form = QFormLayout(line)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Colour by", self.colour)
        self.save_buttons = {kind: self._save_button(kind) for kind in FILE_KINDS}
        files = QWidget()
        grid = QGridLayout(files)
        grid.setContentsMargins(0, 0, 0, 0)
        others = [kind for kind in FILE_KINDS if kind != "table"]
        for number, kind in enumerate(others):
            grid.addWidget(self.save_buttons[kind], 0, number)
        self.assemble(
            rows=[("Nuclei", self.nuclei.layer), ("Intensities of", self.ticks)],
            extras=[self.nuclei],
            more=[("Other files", files)],
            forms={"cells": self.nuclei.form},
            results=[
                self.table,
                line,
                self.bar_of_colours,
                self._histogram_place,
                self.save_buttons["table"],
            ],
        )
        self.nuclei.arrange()  # for the options remembered from another session
        self.ticks.changed.connect(self._on_ticks)
        self._on_ticks()

    # Definition of the tool

    @classmethod
    def accepts(cls, layer: Layer) -> bool:
        return isinstance(layer, Labels) and is_input(layer)

    def whole_axes(self) -> str:
        return "ZYX" if self.form.options.per == "stack" else "YX"

    def work(self, layer: Layer, options: MeasureOptions) -> Work:
        labels = image_of(layer)
        ticked = tuple(self.ticks.layers())
        images = {image.name: image_of(image) for image in ticked}
        paired = self.nuclei.chosen(layer)
        if paired is not None:
            return self._pairing(layer, paired, ticked, options)
        self._watch(layer)
        count, state = count_in(layer), self._state_of(layer)

        def work(progress: Reporter) -> MeasuredObjects:
            table, places, notes = measure_copy(labels, images, options, progress)
            if count is not None:
                table |= count_columns(count, len(table["label"]))
            below = not labels.lazy and has_below_zero(labels)
            lineage = lineage_of(labels)
            return MeasuredObjects(
                layer,
                ticked,
                options,
                state,
                labels.axes,
                table,
                *places,
                count,
                below,
                notes,
                lineage,
            )

        return work

    def _pairing(
        self, layer: Layer, paired: PairedLayers, ticked: tuple[Layer, ...], options: MeasureOptions
    ) -> Work:
        """Return the computation that pairs nuclei with cells and measures them."""
        measurement = paired.measurement({one.name: image_of(one) for one in ticked}, options)
        sources = tuple((one, self._state_of(one)) for one in paired.labels)
        axes = image_of(paired.nuclei).axes

        def work(progress: Reporter) -> MeasuredObjects:
            found, table, places, notes = measurement(progress)
            return MeasuredObjects(
                layer,
                ticked,
                options,
                (),
                axes,
                table,
                *places,
                notes=notes,
                paired=paired,
                compartments=found,
                sources=sources,
            )

        return work

    def show_result(self, layer: Layer, options: MeasureOptions, result: MeasuredObjects) -> str:
        remark = ""
        if result.paired is not None and result.compartments is not None:
            cells, remark = result.paired.show(
                self.session, self.viewer.layers, result.compartments
            )
            # New layers are made active by napari, and the choice of labels would follow.
            self.viewer.layers.selection.active = layer
            # Pixels that the user corrected in an earlier result are kept, and were not measured.
            state = (-1,) if remark else self._state_of(cells)
            result = replace(result, layer=cells, state=state)
        if self._found is not None and self._found.layer is not result.layer:
            self._uncolour()
        self._found = result
        if result.lineage is not None:
            show_tracks(self.viewer.layers, result.layer, result.lineage)
        if result.paired is None:
            note_measurement(result.layer, result.images, result.options)
        self._watch(result.layer)
        self._stale = self._has_changed(result)
        self.table.show_columns(object_columns(result.table))
        self._offer_columns(result.table)
        self._show_here()
        self.refresh()
        sentences = [summary_of(result), remark, _STALE if self._stale else ""]
        return " ".join(filter(None, sentences))

    def layer_changed(self, layer: Layer | None) -> None:
        if layer is not None:
            self.form.show_only({"per": has_planes(layer)})
        self.ticks.refill()
        super().layer_changed(layer)

    def refresh(self) -> None:
        super().refresh()
        there = self._found is not None
        some = self._found is not None and len(self._found.table["label"]) > 0
        for kind, button in self.save_buttons.items():
            button.setEnabled(self._saving is None and (some or (there and kind == "table")))
        self.save_buttons["tracks"].setVisible(there and "parent" in (self.found or {}))
        self.colour.setEnabled(some)
        self.run_button.setText("Measure again" if self._stale and there else self.run_text)

    def close_tool(self) -> None:
        if not self._closed:
            self._soon.stop()
            self._painter.forget()
            self.ticks.close_events()
            self.nuclei.close_events()
            self._unwatch()
            disconnect_events(self.viewer.layers.events, self)
            disconnect_events(self.viewer.dims.events, self)
        super().close_tool()

    # State and actions

    @property
    def found(self) -> Table | None:
        """The table of the last run."""
        return None if self._found is None else self._found.table

    @property
    def stale(self) -> bool:
        """Whether the labels have changed since they were measured."""
        return self._found is not None and self._stale

    def save(self, kind: str, path: Path) -> None:
        """Write a file in another thread.

        Parameters
        ----------
        kind
            A key of `FILE_KINDS`.
        """
        found = self._found
        if found is None or self._saving is not None:
            return
        self._look_for_edits()
        if self._stale and kind not in ("table", "tracks"):
            self.say(f"Outlines and numbers would not agree. {_STALE}", problem=True)
            return
        labels, name = image_of(found.layer), found.layer.name
        self._saving = Task(
            lambda progress: write_measured(kind, path, found, labels, name, progress), self
        )
        self._saving.returned.connect(self._on_saved)
        self._saving.refused.connect(self.say_error)
        self._saving.failed.connect(self._on_failed)
        self._saving.finished.connect(self._on_saving_finished)
        self.say(f"Writing {path.name}...")
        self.refresh()
        self._saving.start()

    # Files

    def _save_button(self, kind: str) -> QPushButton:
        text, _, suffix = FILE_KINDS[kind]
        button = text_button(text, f"Write a {suffix} file.", lambda: self._ask(kind))
        button.setMinimumWidth(0)
        return button

    def _ask(self, kind: str) -> None:
        if self._found is None:
            return
        text, kinds, _ = FILE_KINDS[kind]
        name = default_name(self._found.layer.name, kind)
        path = ask_to_save(self, text.rstrip("."), name, kinds)
        if path is not None:
            self.save(kind, path)

    def _on_saved(self, sentence: str) -> None:
        self.say(sentence)

    def _on_saving_finished(self) -> None:
        if self._saving is not None:
            self._saving.deleteLater()
        self._saving = None
        self.refresh()

    # The canvas and the table

    def _go(self, at: int) -> None:
        found = self._found
        if found is None or self._closed:
            return
        self._look_for_edits()
        centre, low, high = (
            over_axes(found.layer, one[at]).tolist()
            for one in (found.centre, found.low, found.high)
        )
        go_to(self.viewer, found.layer, centre, low, high)
        found.layer.selected_label = int(found.table["label"][at])

    def _show_row_of(self, label: int) -> None:
        """Make the row of an object on screen current, if there is one."""
        found = self._found
        if found is None:
            return
        rows = found.rows_at(self._index_of(found.layer))
        rows = rows[found.table["label"][rows] == label]
        if len(rows):
            self.table.show_object(int(rows[0]))

    def _on_selected_label(self, event: Event) -> None:
        if self._found is not None and event.source is self._found.layer:
            self._show_row_of(self._found.layer.selected_label)

    def _on_pressed(self, layer: Labels, event: Any) -> Iterator[None]:
        """Show the row of a clicked object; a drag only moves the canvas."""
        start = np.asarray(event.position)
        yield
        while event.type == "mouse_move":
            if np.any(np.abs(np.asarray(event.position) - start) > 1e-9):
                return
            yield
        if str(layer.mode) == "pan_zoom" and self._found is not None:
            label = self._found.layer.get_value(
                event.position,
                view_direction=event.view_direction,
                dims_displayed=event.dims_displayed,
                world=True,
            )
            if label:
                self._show_row_of(int(label))

    def _index_of(self, layer: Labels) -> tuple[int, ...]:
        index = plane_index(layer, self.viewer.dims.point)
        return index_along(layer, axes_of(layer).replace("C", ""), index)

    # Edits

    def _state_of(self, layer: Layer) -> tuple[int, ...]:
        return self.session.locks(layer).state()

    def _watch(self, layer: Layer) -> None:
        """Follow edits and clicks of `layer` and of the measured layer, and of no others."""
        self._unwatch()
        found = self._found
        paired = () if found is None else (found.layer, *(one for one, _ in found.sources))
        layers = (layer, *paired)
        self._watched = tuple(dict.fromkeys(layers))
        for one in self._watched:
            for event in (one.events.paint, one.events.data, one.events.set_data):
                event.connect(self._on_edited)
            one.events.selected_label.connect(self._on_selected_label)
            one.mouse_drag_callbacks.append(self._on_pressed)

    def _unwatch(self) -> None:
        for layer in self._watched:
            disconnect_events(layer.events, self)
            if self._on_pressed in layer.mouse_drag_callbacks:
                layer.mouse_drag_callbacks.remove(self._on_pressed)
        self._watched = ()

    def _on_edited(self, event: Event) -> None:
        found = self._found
        if found is None or self.running:
            return
        if event.source is found.layer or any(event.source is one for one, _ in found.sources):
            self._look_for_edits()

    def _has_changed(self, found: MeasuredObjects) -> bool:
        """Whether the labels, or those that were paired, have changed since."""
        known = ((found.layer, found.state), *found.sources)
        return any(self._state_of(layer) != state for layer, state in known)

    def _look_for_edits(self) -> None:
        """Show a warning if the labels have changed since they were measured."""
        found = self._found
        if found is None or self._stale or not self._has_changed(found):
            return
        self._stale = True
        self.say(_STALE, problem=True)
        self.refresh()

    def _on_removed(self, event: Event) -> None:
        found = self._found
        if found is not None and event.value is found.layer:
            self._painter.forget()
            self._unwatch()
            self._found, self._stale = None, False
            self.table.show_columns([])
            self._offer_columns({})
            self.say("The labels and their table were removed. Choose other labels and measure.")
            self.refresh()

    # Colours and features

    def _offer_columns(self, table: Table) -> None:
        chosen = self.colour.currentText()
        blocked = self.colour.blockSignals(True)
        self.colour.clear()
        self.colour.addItem(PLAIN)
        for name, column in table.items():
            if column_kind(name) not in _NO_QUANTITY and column.dtype.kind in "iufb":
                self.colour.addItem(name)
        self.colour.setCurrentText(chosen)
        self.colour.blockSignals(blocked)
        if self.colour.currentText() == PLAIN:
            self.bar_of_colours.show_scale(None)
        self._show_histogram()

    def _on_column(self) -> None:
        self._show_histogram()
        self._colour()

    def _show_histogram(self) -> None:
        """Show the histogram of the chosen column, with all of its objects."""
        found, name = self._found, self.colour.currentText()
        wanted = found is not None and name in found.table
        self._histogram_place.setVisible(wanted)
        self._kept = None
        self.table.rows.show_only(None)
        if found is not None and wanted:
            self._made_histogram().show_values(np.asarray(found.table[name], float))

    def _made_histogram(self) -> "ColumnHistogram":
        if self.histogram is None:
            from napari_unetseg.gui.measure.column_histogram import ColumnHistogram

            self.histogram = ColumnHistogram()
            self.histogram.range_changed.connect(self._filter)
            layout = self._histogram_place.layout()
            if layout is not None:
                layout.addWidget(self.histogram)
        return self.histogram

    def _filter(self) -> None:
        """Show the objects within the chosen range, in the table and on the canvas."""
        found, name = self._found, self.colour.currentText()
        if found is None or self.histogram is None or name not in found.table:
            return
        chosen, values = self.histogram.chosen, np.asarray(found.table[name], float)
        self._kept = None
        if chosen is not None:
            self._kept = (values >= chosen[0]) & (values <= chosen[1])
            n = int(self._kept.sum())
            self.say(
                f"{n} of {len(values)} objects have {name} from {chosen[0]:.4g} to "
                f"{chosen[1]:.4g}. A saved table has all of them."
            )
        self.table.rows.show_only(self._kept)
        self._colour()

    def _on_moved(self) -> None:
        found = self._found
        if found is not None and found.loops and self._index_of(found.layer) != self._here:
            self._soon.start()

    def _show_here(self) -> None:
        """Set the features and colours of the layer for the plane on screen."""
        found = self._found
        if found is None or self._closed or found.layer not in self.viewer.layers:
            return
        self._here = self._index_of(found.layer)
        self._write_features(found, found.rows_at(self._here))
        self._colour()

    def _write_features(self, found: MeasuredObjects, rows: NDArray[np.intp]) -> None:
        """Write rows into the layer's features, keeping other columns."""
        layer = found.layer
        new = {name: column[rows] for name, column in found.objects.items() if name != "label"}
        old: Any = layer.features.copy()
        features = type(old)({"index": found.table["label"][rows], **new})
        if "index" not in old and len(old):
            old.insert(0, "index", range(len(old)))
        ours = self._written.get(layer, set()) | set(new)
        others = old.drop(columns=[name for name in old if name in ours])
        if len(others.columns) > 1:
            features = others.merge(features, on="index", how="outer")
        self._written[layer] = set(new)
        layer.features = features

    def _colour(self) -> None:
        found, name = self._found, self.colour.currentText()
        if found is None or name not in found.table:
            self._painter.forget()
            self._uncolour()
            return
        rows = found.rows_at(self._index_of(found.layer))
        ids, values = found.table["label"][rows], found.table[name]
        kept = None if self._kept is None else self._kept[rows]
        # One scale for all times and planes, so that equal colours are equal values.
        dtype = np.dtype(found.layer.dtype)

        def paint(progress: Progress) -> _Coloured:
            scale = scale_of(name, values)
            colours = colours_of(ids, values[rows], scale, kept)
            # napari compiles code for the colours of a type of labels at their first use.
            colours.map(np.zeros(1, dtype))
            return _Coloured(found, colours, scale)

        self._painter.ask(paint)

    def _on_coloured(self, answer: _Coloured) -> None:
        found = self._found
        if found is not answer.found or self._closed or found.layer not in self.viewer.layers:
            return
        if answer.scale.name != self.colour.currentText():
            return
        layer = found.layer
        if layer not in self._plain:
            self._plain[layer] = layer.colormap
        layer.colormap = answer.colours
        self.bar_of_colours.show_scale(answer.scale)

    def _uncolour(self) -> None:
        """Restore the layer's own colours."""
        self.bar_of_colours.show_scale(None)
        found = self._found
        if found is not None and found.layer in self._plain:
            found.layer.colormap = self._plain.pop(found.layer)

    # Images

    def _on_ticks(self) -> None:
        self.form.layout.setRowVisible(self.ticks, self.ticks.count() > 0)

    def _fits(self, layer: Layer) -> bool:
        labels = self.pick.layer()
        if labels is None or not isinstance(layer, ImageLayer) or not is_input(layer):
            return False
        return plain_shape(layer) == plain_shape(labels)

    def _is_likely(self, layer: Layer) -> bool:
        return not role_of(layer)


__all__ = ["PLAIN", "MeasureWidget"]
