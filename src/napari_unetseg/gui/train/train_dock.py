"""The Train dock: training on painted labels, with loss curve and live preview."""

from dataclasses import replace
from typing import Any, Literal

from napari.layers import Layer
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.pixel_specs import sees_features
from napari_unetseg.core.model.registry import RUNGS
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.training.suggested_start import SUGGESTED_START
from napari_unetseg.gui.shared.form import Form, labelled_rows
from napari_unetseg.gui.shared.layers import field_of, image_of
from napari_unetseg.gui.shared.model_choice import ModelChoice, add_shipped
from napari_unetseg.gui.shared.name_box import NameBox
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.task import Latest, Work
from napari_unetseg.gui.shared.tool import Tool
from napari_unetseg.gui.shared.training_layers import (
    kind_box,
    learnt_of,
    lesson_of,
    show_kind,
    warm_up,
)
from napari_unetseg.gui.train.finished_regions import chosen_region, region_choice
from napari_unetseg.gui.train.history_list import HistoryList
from napari_unetseg.gui.train.live_row import LiveRow
from napari_unetseg.gui.train.loss_curve import LossPlot
from napari_unetseg.gui.train.network_drawing import NetworkWindow, sizes_for_drawing
from napari_unetseg.gui.train.pretrain_panel import PretrainPanel
from napari_unetseg.gui.train.strokes_panel import StrokesPanel
from napari_unetseg.gui.train.train_run import TrainResult, TrainRun
from napari_unetseg.gui.train.train_view import (
    SUGGESTED,
    FeatureChoice,
    ModelOrName,
    TrainState,
    TrainView,
    features_of,
    resolve,
)
from napari_unetseg.gui.train.training_preview import show_training
from napari_unetseg.gui.workbench.dock_registry import TITLES


class TrainWidget(Tool[TrainOptions]):
    """Train a model of any kind on the labels painted on an image.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Train"
    help_text = (
        "Paint a few strokes of each class into a Labels layer, choose a model, train. "
        "Start with logistic."
    )
    run_text = "Train"
    at_sight = ("budget",)
    run_help = "Train the model on the labels. The labels stay as they are."
    can_stop = True
    makes_model = True

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(napari_viewer, TrainOptions())
        self._warm = Latest(self)
        self.live_row = LiveRow(self)
        self.live = self.live_row.tick
        self.strokes = StrokesPanel(self)
        self.labels = self.strokes.labels
        self.kind = kind_box()
        self._kind_shown: Any = self.kind.currentData()
        self.region = region_choice(self.viewer)
        self.rung = QComboBox()
        self.rung.setObjectName("rung")
        for rung in RUNGS:
            self.rung.addItem(rung, rung)
        self.extent = QComboBox()
        self.extent.setObjectName("extent")
        self.extent.addItem("planes, one by one", 2)
        self.extent.addItem("stacks, in 3D", 3)
        self.extent.setToolTip(
            "Planes: paint on any of them; fast. Stacks: the model also uses the neighbouring "
            "planes, which takes more labels, time and memory."
        )
        self.start = ModelChoice()
        self.start.setToolTip(
            "Transfer learning: start with the weights of an earlier or a shipped model. Suggested "
            "takes the shipped model that agrees best with your labels or, if none agrees well, an "
            "encoder pretrained on photographs, and reports which. If the channels or classes "
            "differ, the first or last layer is new."
        )
        self._begin: ModelOrName | None = SUGGESTED_START
        self.specs: dict[str, Form[Any]] = {
            kind: Form(rung.spec(), first=()) for kind, rung in RUNGS.items()
        }
        self._pages = QStackedWidget()
        self.features = NameBox()
        self.features.setObjectName("features")
        self.features.setToolTip(
            "The features of each pixel: the filter bank, which is brightness, edges and textures "
            "at several scales; the activations of a small network that was pretrained on "
            "photographs; those of a trained UNet, of which the new model contains a copy; or the "
            "bank with one of the two."
        )
        self._features_row = labelled_rows(("Features", self.features))
        self.pretraining = PretrainPanel(self.viewer)
        self.see = QPushButton("See the network")
        self.see.setToolTip(
            "Draw the chosen model with its layers, channels, sizes, receptive field, number of "
            "weights, and speed on this computer."
        )
        self.see.clicked.connect(lambda: self._show_network())
        self.network: NetworkWindow | None = None
        self._labels_rows = labelled_rows(
            ("Fully labelled in", self.region), ("Learn", self.extent), ("Start from", self.start)
        )
        model = QWidget()
        column = QVBoxLayout(model)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self._features_row, self._pages, self.see):
            column.addWidget(widget)
        self.curve = LossPlot()
        self.curve.hide()
        self.history = HistoryList(self.session)
        self.assemble(
            rows=[
                ("Labels", self.strokes),
                ("Label type", self.kind),
                ("Model", self.rung),
            ],
            extras=[self.live_row],
            more=[
                ("Labels and start", self._labels_rows),
                ("Model", model),
                ("", self.form),
                ("Pretraining", self.pretraining),
                ("Model history", self.history),
            ],
            results=[self.curve],
            forms=self.specs,
            choices={"model": self.rung},
        )
        self.strokes.insert_classes(self.form.layout)
        self._connect()

    def spec(self) -> ModelSpec:
        """Return the options of the chosen kind of model."""
        options: ModelSpec = self.specs[self.rung.currentData()].options
        if sees_features(options):
            return options.model_copy(update={"features": self._feature().features})
        return options

    def ndim(self) -> int:
        """Return 2 to learn planes, 3 to learn stacks."""
        return resolve(self._state()).ndim

    def _chosen_start(self) -> TrainedModel | Literal["suggested"] | None:
        """Return the model to start from; a suggested one is chosen by the training."""
        return (
            SUGGESTED_START if self.start.currentData() == SUGGESTED_START else self.start.chosen()
        )

    def features_from(self) -> TrainedModel | None:
        """Return the UNet whose frozen features the chosen model uses, if any."""
        if not RUNGS[self.rung.currentData()].takes_frozen_features:
            return None
        network = self._feature().network
        return shipped.open_shipped(network) if isinstance(network, str) else network

    def whole_axes(self) -> str:
        return "ZYX"[-self.ndim() :]

    def work(self, layer: Layer, options: TrainOptions) -> Work:
        kind, spec = self.kind.currentData(), self.spec()
        index = self.preview.plane(layer)
        pair, note = lesson_of(layer, self.labels.layer(), kind, index)
        pixel = sees_features(spec)
        run = TrainRun(
            pair=replace(
                pair,
                region=chosen_region(self._marks(), self.labels.layer(), layer, pair.labels.shape),
            ),
            spec=spec,
            options=options,
            name=self.session.name_for(spec.kind),
            labels_are=kind,
            ndim=self.ndim(),
            start=self._chosen_start(),
            features_from=self.features_from(),
            pretraining=None if pixel else self.pretraining.chosen(layer),
            pretrained_on=self.pretraining.key_of(layer),
            class_names=self.strokes.names(),
            note=note,
            field=None if index is None else field_of(layer, pair.image, index),
            learnt=learnt_of(layer, self.labels.layer(), kind, region=self._marks()),
        )
        self.curve.clear_curves()
        self.curve.setVisible(not pixel)
        return run

    def take_objects(self, image: Layer, labels: Layer, region: Layer) -> None:
        """Choose an image, the objects on it, and where they are complete, to train a UNet."""
        self.pick.pick(image)
        self.labels.pick(labels)
        self.kind.setCurrentIndex(self.kind.findData("objects"))
        self.rung.setCurrentIndex(self.rung.findData("unet"))
        self.region.pick(region)
        self.say("Everything in the finished region is labelled. Press Train.")

    def show_on_the_way(self, thing: Any) -> None:
        show_training(self, self.curve, thing, painted=self.strokes.colours())

    def show_result(self, layer: Layer, options: TrainOptions, result: TrainResult) -> str:
        run, outcome = result.run, result.outcome
        self.pretraining.remember(run.pretrained_on, outcome.pretrained)
        self.session.add_model(
            outcome.model, origin="trained", learnt=[run.learnt], thumbnail=result.thumbnail
        )
        return result.message()

    def shown(self) -> None:
        # Importing torch and compiling the filters takes seconds: start while the user paints.
        self._warm.ask_soon(lambda progress: warm_up())
        labels = self.labels.layer()
        if labels is not None and self.kind.currentData() == self._kind_shown:
            # They may have been corrected since they were picked.
            self._show_kind(labels)
        self._update()

    def hidden(self) -> None:
        self.live_row.end()
        super().hidden()

    def layer_changed(self, layer: Layer | None) -> None:
        super().layer_changed(layer)
        self._update()

    def options_changed(self, options: TrainOptions) -> None:
        self._update()

    def close_tool(self) -> None:
        if not self._closed:
            self.strokes.close_events()
            self.region.close_events()
            self.session.models_changed.disconnect(self._update)
            self.session.model_chosen.disconnect(self._take_up)
            self.history.close_events()
        super().close_tool()

    def refresh(self) -> None:
        super().refresh()
        self._update()

    # State and view

    def _connect(self) -> None:
        """Connect all controls that change the view."""
        for box in (self.kind, self.rung, self.extent, self.features):
            box.currentIndexChanged.connect(self._update)
        self.live.toggled.connect(self._update)
        self.more.button.toggled.connect(self._update)
        for form in self.specs.values():
            form.changed.connect(self._update)
        self.session.models_changed.connect(self._update)
        self.labels.picked.connect(self._on_labels)
        self.start.currentIndexChanged.connect(self._on_start)
        self.session.model_chosen.connect(self._take_up)

    def _state(self) -> TrainState:
        layer, models = self.pick.layer(), tuple(self.session.models)
        taken = {shipped.name_of_model(model): model for model in models}
        return TrainState(
            rung=self.rung.currentData(),
            labels_are=self.kind.currentData(),
            extent=self.extent.currentData(),
            has_image=layer is not None,
            has_labels=self.labels.layer() is not None,
            is_stack=layer is not None and _is_stack(layer),
            start=self._begin,
            features=self._feature(),
            models=models,
            shipped={name: taken.get(name) for name in shipped.names()},
            live_ticked=self.live.isChecked(),
            in_sight=self.isVisible() and not self._closed,
            running=self.running,
        )

    def _feature(self) -> FeatureChoice:
        chosen: FeatureChoice | None = self.features.currentData()
        return chosen or SUGGESTED

    def _update(self, *_: object) -> None:
        """Show the current state."""
        self._apply(resolve(self._state()))

    def _apply(self, view: TrainView) -> None:
        rung = self.rung.currentData()
        self.rung.setToolTip(view.hint)
        layout = self._labels_rows.layout()
        if isinstance(layout, QFormLayout):
            layout.setRowVisible(self.region, view.shows_region)
            layout.setRowVisible(self.extent, view.shows_extent)
        self.form.show_only(view.options)
        self._show_page(self.specs[rung])
        self.specs[rung].show_only(view.spec_options)
        self._features_row.setVisible(view.shows_features)
        self.pretraining.setVisible(view.shows_pretraining)
        with QSignalBlocker(self.start):
            self.start.fill(view.starts, before="nothing", ships=view.starts_shipped)
            if view.suggests:
                self.start.insertItem(0, SUGGESTED_START, SUGGESTED_START)
            self.start.choose(view.start)
        with QSignalBlocker(self.features):
            self._fill_features(view)
        self.live_row.show_tick(view.shows_live)
        self.strokes.show_classes(view.classes_least)
        self._follow_live(view.runs_live)
        if not view.keeps_preview:
            self.preview.remove()
        self._draw_network(view.ndim)

    def _show_page(self, form: Form[Any]) -> None:
        """Show the form of a kind of model, which is made on first use."""
        if self.more.unfolded:
            form.fill_rare()
        if self._pages.currentWidget() is not form.rare:
            self._pages.addWidget(form.rare)
            self._pages.setCurrentWidget(form.rare)

    def _fill_features(self, view: TrainView) -> None:
        by_name = {choice.text: choice for choice in view.features_shipped}
        self.features.clear()
        for choice in view.features:
            self.features.addItem(choice.text, choice)
        add_shipped(self.features, list(by_name), by_name.__getitem__)
        rows = range(self.features.count())
        self.features.setCurrentIndex(
            next(row for row in rows if self.features.itemData(row) is view.feature)
        )

    def _show_kind(self, labels: Layer) -> None:
        """Choose the label type of a layer; another choice than this one stays."""
        show_kind(self.kind, labels)
        self._kind_shown = self.kind.currentData()

    def _on_labels(self, labels: Layer | None) -> None:
        if labels is not None:
            self._show_kind(labels)
        self._update()

    def _on_start(self) -> None:
        """Copy the options of a network to start from, or the features of a pixel model."""
        self._begin = self.start.currentData()
        start, state = self._chosen_start(), self._state()
        if isinstance(start, str):
            start = None
        if start is not None and sees_features(start.spec):
            state = replace(state, features=features_of(start))
        elif start is not None:
            self.specs[start.spec.kind].options = start.spec
        self._apply(resolve(state))

    def _take_up(self, model: TrainedModel) -> None:
        """Choose the kind, options and weights of the version that the user went back to.

        Live refits the model at every stroke, so it takes over the options only.
        """
        self.rung.setCurrentIndex(self.rung.findData(model.spec.kind))
        self.extent.setCurrentIndex(self.extent.findData(model.ndim))
        self.specs[model.spec.kind].options = model.spec
        self._begin = model
        self._apply(resolve(replace(self._state(), features=features_of(model))))

    # Live mode

    def _follow_live(self, wanted: bool) -> None:
        """Start or stop live mode, or change its options."""
        spec = self.spec() if wanted else None
        self.live_row.follow(
            spec if spec is not None and sees_features(spec) else None,
            self.pick.layer(),
            self.labels.layer(),
            self.features_from(),
            self.form.options.seed,
        )

    # The network

    def _show_network(self) -> None:
        """Open the window that draws the chosen model."""
        if self.network is None:
            self.network = NetworkWindow(self)
        self.network.show()
        self.network.raise_()
        self._draw_network(self.ndim())

    def _draw_network(self, ndim: int) -> None:
        """Draw the chosen model, for the picked image, while its window is open."""
        window, layer = self.network, self.pick.layer()
        if window is None or not window.isVisible():
            return
        sizes = sizes_for_drawing(layer, self.labels.layer(), self.kind.currentData(), ndim)
        window.show_model(self.specs[self.rung.currentData()].options, **sizes)

    # Finished regions

    def _marks(self) -> Layer | None:
        """Return the layer that marks the fully labelled regions, if any."""
        return None if self.kind.currentData() == "scribbles" else self.region.layer()


def open_train(viewer: Any, image: Layer, labels: Layer, region: Layer) -> bool:
    """Show a Train page with finished objects; return False if the viewer has no window."""
    workbench = Session.of(viewer).workbench
    if workbench is not None:
        workbench.open_tool(TrainWidget.title)
        page = workbench.tool(TITLES.index(TrainWidget.title))
    elif hasattr(viewer, "window"):
        _, page = viewer.window.add_plugin_dock_widget("napari-unetseg", TrainWidget.title)
    else:
        return False
    page.take_objects(image, labels, region)
    return True


def _is_stack(layer: Layer) -> bool:
    """Whether a layer has more than one plane along Z."""
    try:
        image = image_of(layer)
    except InputError:
        return False
    return "Z" in image.axes and image.length("Z") > 1


__all__ = ["TrainWidget", "open_train"]
