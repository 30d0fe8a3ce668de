"""The Train on dock: fine-tuning of a model on corrections, with a check for forgetting."""

import re
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from napari.layers import Labels, Layer
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QDockWidget, QFrame, QLabel, QPushButton, QVBoxLayout

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.training.fine_tune import FineTuned, FineTuneOptions, fine_tune
from napari_unetseg.core.training.model_history import draw_prediction
from napari_unetseg.gui.shared.layers import field_of, image_of, role_of
from napari_unetseg.gui.shared.session import Session, unwrapped
from napari_unetseg.gui.shared.task import Latest, Reporter, Work
from napari_unetseg.gui.shared.tool import Tool
from napari_unetseg.gui.shared.training_layers import RESULTS, kind_box, labels_pick, warm_up
from napari_unetseg.gui.train.fine_tune_layers import (
    FineTuneMaterial,
    fine_tune_material,
    kind_of,
    source_layer,
)
from napari_unetseg.gui.train.history_list import HistoryList
from napari_unetseg.gui.train.loss_curve import LossPlot
from napari_unetseg.gui.train.training_preview import preview_callback, show_training

_PLUGIN, _DOCK = "napari-unetseg", "Train on"
_NUMBER = re.compile(r" \d+$")
_NETWORK_FIELDS = ("budget", "learning_rate", "device")


@dataclass(frozen=True, eq=False)
class _Result:
    """A fine-tuned model, the model and the corrections it was made from, and a thumbnail."""

    result: FineTuned
    old: TrainedModel
    material: FineTuneMaterial
    thumbnail: Any


class FineTuneWidget(Tool[FineTuneOptions]):
    """Train a model on corrected labels, and go back to any version of it.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Train on"
    help_text = "Train the model on what you drew, erased or approved. Unreviewed areas count less."
    run_text = "Train on"
    at_sight = ("how", "budget")
    run_help = "Train the model on the corrections. Labels and the old model stay as they are."
    can_stop = True
    makes_model = True

    wanted = Signal()
    """Sent when this page is to be shown."""

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(napari_viewer, FineTuneOptions())
        self._warm = Latest(self)
        self._old: TrainedModel | None = None
        self.labels = labels_pick(self.viewer, predictions=True)
        self.kind = kind_box()
        self.models = QComboBox()
        self.models.setObjectName("models")
        self.models.setToolTip("The model to improve. A new version is made; the old one is kept.")
        self.curve = LossPlot()
        self.curve.hide()
        self.alarm = QFrame()
        self.alarm.setObjectName("alarm")
        self.alarm.setStyleSheet("#alarm { border: 2px solid #ff9d4d; border-radius: 4px; }")
        self.alarm_text = QLabel()
        self.alarm_text.setWordWrap(True)
        self.back_button = QPushButton()
        self.back_button.clicked.connect(lambda: self.go_back())
        column = QVBoxLayout(self.alarm)
        column.addWidget(self.alarm_text)
        column.addWidget(self.back_button)
        self.alarm.hide()
        self.history = HistoryList(self.session)
        self.assemble(
            rows=[("Labels", self.labels), ("Label type", self.kind), ("Model", self.models)],
            results=[
                self.alarm,
                self.curve,
                QLabel("<b>Model history</b>: click one to go back"),
                self.history,
            ],
        )
        self.labels.picked.connect(self._on_labels)
        self.models.currentIndexChanged.connect(lambda: self._on_model())
        self.session.models_changed.connect(self._fill_models)
        _PAGES.setdefault(self.viewer, WeakSet()).add(self)
        self._fill_models()
        self._on_labels(self.labels.layer())

    # Definition of the tool

    def model(self) -> TrainedModel | None:
        """Return the chosen model."""
        chosen: TrainedModel | None = self.models.currentData()
        return chosen

    def whole_axes(self) -> str:
        model = self.model()
        return "YX" if model is None else "ZYX"[-model.ndim :]

    def work(self, layer: Layer, options: FineTuneOptions) -> Work:
        model = self.model()
        if model is None:
            raise InputError("There is no model yet. Train one, or load one in Predict.")
        labels, kind = self.labels.layer(), self.kind.currentData()
        layers, session = self.viewer.layers, self.session
        material = fine_tune_material(layers, session, layer, labels, kind, model)
        base = session.history.base_of(model)
        name = session.name_for(_NUMBER.sub("", model.name))
        index = self.preview.plane(layer)
        field = None if index is None else field_of(layer, image_of(layer), index)
        self.alarm.hide()
        self.curve.clear_curves()
        self.curve.setVisible(model.spec.learns_features)
        return lambda report: _fine_tuned(model, material, options, base, name, field, report)

    def show_on_the_way(self, thing: Any) -> None:
        show_training(self, self.curve, thing)

    def show_result(self, layer: Layer, options: FineTuneOptions, result: _Result) -> str:
        made, material = result.result, result.material
        self.session.add_model(
            made.model, origin="trained on", learnt=material.learnt, thumbnail=result.thumbnail
        )
        if made.alarm:
            self._old = result.old
            more = "" if material.earlier else " or train on with its earlier images,"
            self.alarm_text.setText(f"{made.alarm} Go back,{more} or keep it.")
            self.back_button.setText(f"Go back to {result.old.name}")
            self.alarm.show()
        lost = (
            f"Earlier training data is no longer in the window: {', '.join(material.lost)}."
            if material.lost
            else ""
        )
        return " ".join(
            filter(None, [made.message, lost, "Next: Predict. Your corrections are kept."])
        )

    def shown(self) -> None:
        self._pick_corrected()
        self._warm.ask_soon(lambda progress: warm_up())

    def refresh(self) -> None:
        super().refresh()
        ready = self.model() is not None
        self.run_button.setEnabled(self.run_button.isEnabled() and ready)
        if not self.running:
            self.preview.remove()

    def close_tool(self) -> None:
        if not self._closed:
            self.labels.close_events()
            self.history.close_events()
            self.session.models_changed.disconnect(self._fill_models)
            _PAGES.get(self.viewer, WeakSet()).discard(self)
        super().close_tool()

    # Actions

    def begin(self, labels: Labels) -> None:
        """Train on the corrections of a layer."""
        self.wanted.emit()
        source = source_layer(self.viewer.layers, labels)
        if source is not None:
            self.pick.pick(source)
        self.labels.pick(labels)
        self.run()

    def go_back(self) -> None:
        """Make the model before this training the current one again."""
        if self._old is not None:
            self.session.go_back(self._old)
            self.say(f"{self._old.name!r} is the current model again.")
        self.alarm.hide()

    # Wiring

    def _pick_corrected(self) -> None:
        """Pick corrected labels, predictions before others, unless corrected ones are picked."""
        labels = [one for one in self.viewer.layers if isinstance(one, Labels)]
        corrected = [one for one in labels if self.session.locks(one)]
        likely = [one for one in corrected if role_of(one) in RESULTS] or corrected
        if likely and self.labels.layer() not in likely:
            self.labels.pick(likely[-1])

    def _on_labels(self, labels: Layer | None) -> None:
        if not isinstance(labels, Labels):
            return
        self.session.locks(labels)
        source = source_layer(self.viewer.layers, labels)
        if source is not None:
            self.pick.pick(source)
        self._show_kind()

    def _on_model(self) -> None:
        model = self.model()
        network = model is not None and model.spec.learns_features
        fields = FineTuneOptions.model_fields
        self.form.show_only({name: network or name not in _NETWORK_FIELDS for name in fields})
        self._show_kind()
        self.refresh()

    def _show_kind(self) -> None:
        labels = self.labels.layer()
        if labels is not None:
            kind = kind_of(labels, self.model(), self.session.models)
            self.kind.setCurrentIndex(self.kind.findData(kind))

    def _fill_models(self) -> None:
        wanted = self.session.next_choice(self.models.currentData())
        with QSignalBlocker(self.models):
            self.models.clear()
            # Models of other programs have no weights to fine-tune.
            for model in (one for one in self.session.models if one.state):
                self.models.addItem(model.name, model)
            if not self.models.count():
                self.models.addItem("none yet: train or load one", None)
            at = self.models.findData(wanted)
            self.models.setCurrentIndex(self.models.count() - 1 if at < 0 else at)
        self._on_model()


def open_fine_tune(viewer: Any, labels: Labels) -> bool:
    """Show or open a Train on page and start; return False if the viewer has no window."""
    viewer = unwrapped(viewer)
    workbench = Session.of(viewer).workbench
    if workbench is not None and not _PAGES.get(viewer):
        workbench.open_tool(FineTuneWidget.title)
    pages = list(_PAGES.get(viewer, ()))
    page = next((one for one in pages if one.isVisible()), pages[0] if pages else None)
    if page is None:
        window = getattr(viewer, "window", None)
        if window is None:
            return False
        _, page = window.add_plugin_dock_widget(_PLUGIN, _DOCK)
    dock = page.parent()
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parent()
    if dock is not None:
        dock.show()
        dock.raise_()
    page.begin(labels)
    return True


def _fine_tuned(
    model: TrainedModel,
    material: FineTuneMaterial,
    options: FineTuneOptions,
    base: TrainedModel | None,
    name: str,
    field: Image | None,
    report: Reporter,
) -> _Result:
    report(0.0, "reading the corrections")
    result = fine_tune(
        model,
        [one.lesson(model, options) for one in material.corrected],
        options,
        earlier=material.earlier,
        base=base,
        name=name,
        watch=report.show,
        preview=preview_callback(field, report, model.normalisation),
        progress=report,
    )
    return _Result(result, model, material, draw_prediction(result.model))


_PAGES: "WeakKeyDictionary[Any, WeakSet[FineTuneWidget]]" = WeakKeyDictionary()

__all__ = ["FineTuneWidget", "open_fine_tune"]
