"""The Train dock: from painted labels to a model, with its curve and a live look at the field."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Layer
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QWidget,
)
from superqt import QCollapsible

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features import FilterBankSpec
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.network_specs import ModelSpec, UNetSpec
from napari_unetseg.core.model.pixel_specs import Features, PixelSpec
from napari_unetseg.core.model.trained_model import RUNGS, TrainedModel
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.training.model_history import Learnt, predicted_thumbnail
from napari_unetseg.core.training.pretraining import Pretraining
from napari_unetseg.core.training.train import Outcome, TrainingPair, train
from napari_unetseg.core.training.train_options import TrainOptions
from napari_unetseg.gui.shared.form import Form
from napari_unetseg.gui.shared.layer_choice import LayerChoice
from napari_unetseg.gui.shared.layers import image_of, plane_image
from napari_unetseg.gui.shared.model_choice import ModelChoice, add_shipped
from napari_unetseg.gui.shared.preview import labels_look
from napari_unetseg.gui.shared.task import Latest, Reporter, Work
from napari_unetseg.gui.shared.tool import Tool
from napari_unetseg.gui.shared.training_layers import (
    kind_box,
    labels_pick,
    learnt_of,
    lesson_of,
    show_kind,
    warm_up,
)
from napari_unetseg.gui.train.finished_regions import marks_regions, region_of
from napari_unetseg.gui.train.history_list import HistoryList
from napari_unetseg.gui.train.live_training import Live, Seen
from napari_unetseg.gui.train.loss_curve import LossPlot
from napari_unetseg.gui.train.network_drawing import NetworkWindow
from napari_unetseg.gui.train.pretrain_panel import PretrainPanel
from napari_unetseg.gui.train.training_preview import glimpser, show_training

_RUNG_HELP = {
    "logistic": "Two classes, a weighted sum of filters. Fits in a blink: begin here.",
    "softmax": "The same for any number of classes.",
    "mlp": "Sums of sums of filters: for classes that a plane cannot part.",
    "cnn": "A small convolutional network: learns its own filters. Minutes.",
    "unet": "Sees detail and surroundings. The best with enough labels. Minutes.",
}
_REGION_HELP = (
    "Where 0 is known to be background: inside the shapes drawn in a Shapes layer, or wherever "
    "another Labels layer is painted. Elsewhere 0 is unknown and not learnt from."
)
_LITTLE = 0.5
"""Dice on what was held out under which a model is hardly of use."""

_OBJECT_FIELDS = ("objects", "maps")
_PIXEL_FIELDS = ("validation", "seed")
_BANK: tuple[Features, TrainedModel | None] = ("auto", None)


@dataclass(frozen=True, eq=False)
class _Done:
    """What a run gives: the model, what it learnt from, and its picture."""

    outcome: Outcome
    learnt: Learnt
    thumbnail: Any


class TrainWidget(Tool[TrainOptions]):
    """Train a model of any rung on the labels painted on an image.

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
    run_help = "Train the model on the labels. The labels stay as they are."
    can_stop = True

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(napari_viewer, TrainOptions())
        self._warm = Latest(self)
        self._live = Live(self.viewer, self.preview.plane, self)
        self._live.seen.connect(self._on_seen)
        self._live.refused.connect(self._on_nothing_live)
        self.session.models_changed.connect(self._fill_starts)
        self.session.model_chosen.connect(self._take_up)
        self._choose_rung()
        self._show_extent()

    def rows(self) -> list[tuple[str, QWidget]]:
        self.labels = labels_pick(self.viewer)
        self.labels.picked.connect(self._on_labels)
        self.kind = kind_box()
        self.kind.currentIndexChanged.connect(self._choose_kind)
        self.region = LayerChoice(
            self.viewer, marks_regions, follow=lambda layer: False, nothing="the whole image"
        )
        self.region.setObjectName("region")
        self.region.setStatusTip(_REGION_HELP)
        self.rung = QComboBox()
        self.rung.setObjectName("rung")
        for rung in RUNGS:
            self.rung.addItem(rung, rung)
        self.rung.currentIndexChanged.connect(self._choose_rung)
        self.extent = QComboBox()
        self.extent.setObjectName("extent")
        self.extent.addItem("planes, one by one", 2)
        self.extent.addItem("stacks, in 3D", 3)
        self.extent.setToolTip(
            "Planes: paint on any of them; quick. Stacks: the model sees the neighbouring planes "
            "too, which takes more labels, time and memory."
        )
        self.extent.currentIndexChanged.connect(self._on_extent)
        self.start = ModelChoice()
        self.start.setToolTip(
            "Transfer learning: begin with the weights of a model trained before, or of one that "
            "ships. Use it where that saw images like yours and your labels are few. For other "
            "channels or classes its first or last layer is new."
        )
        self.start.currentIndexChanged.connect(self._follow_start)
        return [
            ("Labels", self.labels),
            ("They are", self.kind),
            ("Finished in", self.region),
            ("Model", self.rung),
            ("Learn", self.extent),
            ("Start from", self.start),
        ]

    def extras(self) -> list[QWidget]:
        self.specs: dict[str, Form[Any]] = {}
        self._pages = QStackedWidget()
        for kind, spec in RUNGS.items():
            form: Form[Any] = Form(spec())
            form.changed.connect(lambda options: self._on_spec())
            self.specs[kind] = form
        self.features = QComboBox()
        self.features.setObjectName("features")
        self.features.setToolTip(
            "What the model knows of each pixel: what the filters answer, what a UNet of this "
            "session knows of it, or both. The new model holds a copy of the UNet."
        )
        # A long name must not make the dock wider than a laptop can spare.
        self.features.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.features.currentIndexChanged.connect(lambda: self._choose_features())
        self._seen = QWidget()
        row = QFormLayout(self._seen)
        row.setContentsMargins(0, 0, 0, 0)
        row.addRow("Features", self.features)
        self.pretraining = PretrainPanel(self.viewer)
        self.see = QPushButton("See the network")
        self.see.setToolTip(
            "Draw the chosen model: its layers, channels and sizes, how far it sees, how many "
            "weights it has, and how fast it is on this computer."
        )
        self.see.clicked.connect(lambda: self._show_network())
        self.network: NetworkWindow | None = None
        unfold = QCollapsible("Options of the model")
        unfold.addWidget(self._seen)
        unfold.addWidget(self.see)
        unfold.addWidget(self._pages)
        unfold.addWidget(self.pretraining)
        self.live = QCheckBox("Live")
        self.live.setToolTip(
            "Fit the model again at every stroke and colour what is in view. Train keeps it."
        )
        self.live.toggled.connect(lambda: self._see_to_live())
        self.curve = LossPlot()
        self.curve.hide()
        return [self.live, unfold, self.curve]

    def results(self) -> list[QWidget]:
        self.history = HistoryList(self.session)
        unfold = QCollapsible("Model history")
        unfold.addWidget(self.history)
        return [unfold]

    def forms(self) -> dict[str, Form[Any]]:
        return {**super().forms(), **self.specs}

    def choices(self) -> dict[str, QComboBox]:
        return {"model": self.rung}

    def spec(self) -> ModelSpec:
        """Return the chosen model as its form stands."""
        options: ModelSpec = self.specs[self.rung.currentData()].options
        if isinstance(options, PixelSpec):
            features, _ = self._features_chosen()
            return options.model_copy(update={"features": features})
        return options

    def ndim(self) -> int:
        """Return 2 to learn planes, 3 to learn stacks."""
        layer = self.pick.layer()
        return int(self.extent.currentData()) if layer is not None and _is_stack(layer) else 2

    def features_from(self) -> TrainedModel | None:
        """Return the UNet whose features the chosen model is to see, if any."""
        return self._features_chosen()[1] if self._looks_at_pixels() else None

    def _looks_at_pixels(self) -> bool:
        return issubclass(RUNGS[self.rung.currentData()], PixelSpec)

    def _features_chosen(self) -> tuple[Features, TrainedModel | None]:
        features, eyes = self.features.currentData() or _BANK
        return features, shipped.open_shipped(eyes) if isinstance(eyes, str) else eyes

    def work(self, layer: Layer, options: TrainOptions) -> Work:
        kind, start = self.kind.currentData(), self.start.chosen()
        lesson, spec = lesson_of(layer, self.labels.layer(), kind), self.spec()
        lesson = replace(lesson, region=self._region(layer, lesson.labels.shape))
        eyes = self.features_from()
        before = None if self._looks_at_pixels() else self.pretraining.chosen(layer)
        name, ndim = self.session.name_for(spec.kind), self.ndim()
        learnt = learnt_of(layer, self.labels.layer(), kind, region=self._marks())
        index = self.preview.plane(layer)
        field = None if index is None else plane_image(lesson.image, index)
        self.curve.clear_curves()
        self.curve.setVisible(not isinstance(spec, PixelSpec))

        def work(report: Reporter) -> _Done:
            outcome = _train(
                spec, lesson, options, name, kind, ndim, start, eyes, before, field, report
            )
            return _Done(outcome, learnt, predicted_thumbnail(outcome.model))

        return work

    def show_on_the_way(self, thing: Any) -> None:
        show_training(self, self.curve, thing)

    def show_result(self, layer: Layer, options: TrainOptions, result: _Done) -> str:
        model, message = result.outcome.model, result.outcome.message
        learnt, picture = [result.learnt], result.thumbnail
        self.pretraining.remember(layer, result.outcome.pretrained)
        self.session.add_model(model, origin="trained", learnt=learnt, thumbnail=picture)
        self._fill_starts()
        return f"{model.name}: {message} {_next(model)}"

    def shown(self) -> None:
        self._fill_starts()
        # Torch takes seconds to load and the filters to compile: begin while the user paints.
        self._warm.ask_soon(lambda progress: warm_up())
        self._see_to_live()

    def hidden(self) -> None:
        self._live.end()
        super().hidden()

    def layer_changed(self, layer: Layer | None) -> None:
        super().layer_changed(layer)
        self._show_extent()
        self._draw_network()
        self._see_to_live()

    def options_changed(self, options: TrainOptions) -> None:
        self._see_to_live()

    def close_tool(self) -> None:
        if not self._closed:
            self.labels.close_events()
            self.region.close_events()
            self.session.models_changed.disconnect(self._fill_starts)
            self.session.model_chosen.disconnect(self._take_up)
            self.history.close_events()
        super().close_tool()

    def refresh(self) -> None:
        super().refresh()
        if hasattr(self, "_live") and not self.running:
            if not self._live.on:
                self.preview.remove()
            self._fill_starts()

    def _on_labels(self, labels: Layer | None) -> None:
        if labels is not None:
            show_kind(self.kind, labels)
        self._see_to_live()

    def _see_to_live(self) -> None:
        """Begin or end the live mode, as everything that matters to it stands now."""
        if not hasattr(self, "_live"):
            return
        spec, layer, labels = self.spec(), self.pick.layer(), self.labels.layer()
        scribbles = self.kind.currentData() == "scribbles"
        able = isinstance(spec, PixelSpec) and scribbles and self.ndim() == 2
        self.live.setVisible(able)
        wanted = able and self.live.isChecked() and self.isVisible() and not self._closed
        if wanted and isinstance(spec, PixelSpec) and layer is not None and labels is not None:
            seed = self.form.options.seed
            self._live.begin(layer, labels, spec, self.features_from(), seed)
        elif self._live.on:
            self._live.end()
            self.preview.remove()
            self.say("")

    def _on_seen(self, seen: Seen) -> None:
        if seen.layer not in self.viewer.layers or not self._live.on:
            return
        image = image_of(seen.layer)
        plane = np.zeros((image.length("Y"), image.length("X")), np.uint8)
        plane[seen.box] = seen.classes
        if self._live.same_plane(seen):
            look = labels_look(seen.labels, seen.last_class)
            self.preview.show(seen.layer, plane, name="live preview", **look)
            if not self.running:
                self.say("Live: paint on to correct it, then Train to keep the model.")

    def _on_nothing_live(self, sentence: str) -> None:
        self.preview.remove()
        if not self.running:
            self.say(sentence)

    def _on_spec(self) -> None:
        self._draw_network()
        self._see_to_live()

    def _show_network(self) -> None:
        """Open the window that draws the chosen model."""
        if self.network is None:
            self.network = NetworkWindow(self)
        self.network.show()
        self.network.raise_()
        self._draw_network()

    def _draw_network(self) -> None:
        """Draw the chosen model, for the picked image, while its window is open."""
        window, layer = getattr(self, "network", None), self.pick.layer()
        if window is None or not window.isVisible():
            return
        sides: tuple[int, ...] = (512, 512)
        ndim, channels = self.ndim(), 1
        if layer is not None:
            image = image_of(layer)
            channels = image.n_channels
            sides = tuple(image.length(axis) for axis in "ZYX"[-ndim:])
        labels = self.labels.layer()
        painted = 0 if labels is None else int(np.max(labels.data, initial=0))
        classes = painted if self.kind.currentData() == "scribbles" else 2
        window.show_model(
            self.specs[self.rung.currentData()].options,
            n_channels=channels,
            n_classes=min(max(classes, 2), 64),
            ndim=ndim,
            image=sides,
        )

    def _show_extent(self) -> None:
        """Offer to learn stacks where there is one."""
        layer = self.pick.layer()
        self.form.layout.setRowVisible(self.extent, layer is not None and _is_stack(layer))
        self._fill_starts()

    def _on_extent(self, number: int = 0) -> None:
        self._fill_starts()
        self._draw_network()
        self._see_to_live()

    def _choose_rung(self, number: int = 0) -> None:
        rung = self.rung.currentData()
        self.rung.setToolTip(_RUNG_HELP[rung])
        page = self.specs[rung].page
        self._pages.addWidget(page)
        self._pages.setCurrentWidget(page)
        self._show_training_options()
        self._fill_starts()
        self._seen.setVisible(self._looks_at_pixels())
        self.pretraining.setVisible(not self._looks_at_pixels())
        self._draw_network()
        self._choose_features()

    def _choose_features(self) -> None:
        """Show the options of the filters where they are used, and look again."""
        if self._looks_at_pixels():
            features, _ = self._features_chosen()
            shown = dict.fromkeys(FilterBankSpec.model_fields, features != "network")
            self.specs[self.rung.currentData()].show_only({**shown, "features": False})
        self._see_to_live()

    def _choose_kind(self, number: int = 0) -> None:
        """Show what matters to labels of the chosen kind, and look again."""
        self._show_training_options()
        self._see_to_live()

    def _show_training_options(self) -> None:
        """Show what matters to the chosen model and to labels of the chosen kind."""
        kind = self.kind.currentData()
        self.form.layout.setRowVisible(self.region, kind != "scribbles")
        network = not self._looks_at_pixels()
        wanted = {
            name: (network and (name not in _OBJECT_FIELDS or kind == "objects"))
            or name in _PIXEL_FIELDS
            for name in TrainOptions.model_fields
        }
        self.form.show_only(wanted)

    def _marks(self) -> Layer | None:
        """Return the layer that says where the labels are finished, if any does."""
        return None if self.kind.currentData() == "scribbles" else self.region.layer()

    def _region(self, layer: Layer, shape: tuple[int, ...]) -> Any:
        """Return where the labels are finished, or None for everywhere."""
        marks = self._marks()
        if marks is None:
            return None
        if marks is self.labels.layer():
            raise InputError(
                "The labels themselves cannot say where they are finished. Choose the whole image, "
                "a Shapes layer, or another Labels layer painted where all is known."
            )
        return region_of(marks, layer, shape)

    def _take_up(self, model: TrainedModel) -> None:
        """Go on from the version that was gone back to: the same model, its options, its weights.

        Live fits the model anew at every stroke, so that its options are what it takes up.
        """
        self.rung.setCurrentIndex(self.rung.findData(model.spec.kind))
        self.extent.setCurrentIndex(self.extent.findData(model.ndim))
        self.specs[model.spec.kind].options = model.spec
        self._fill_starts()
        self.start.choose(model)
        self._follow_start()

    def _follow_start(self) -> None:
        """Take the options of the model to start from, and see what it sees: it keeps both."""
        start = self.start.chosen()
        if start is None:
            return
        if not isinstance(start.spec, PixelSpec):
            self.specs[start.spec.kind].options = start.spec
            return
        eyes = start.features_from
        same = _BANK if eyes is None else (start.spec.features, eyes)
        self._select_features(same)

    def _fill_features(self) -> None:
        """Offer the UNets of the session, and those that its other models see."""
        kept = self.features.currentData() or _BANK
        known: dict[str, TrainedModel] = {}
        for model in self.session.models:
            eyes = model if isinstance(model.spec, UNetSpec) else model.features_from
            if eyes is not None:
                known.setdefault(eyes.fingerprint, eyes)
        # Live need not look again when nothing but the list is new.
        with QSignalBlocker(self.features):
            self.features.clear()
            self.features.addItem("filter bank", _BANK)
            for eyes in known.values():
                self.features.addItem(f"{eyes.name} and filter bank", ("both", eyes))
                self.features.addItem(eyes.name, ("network", eyes))
            add_shipped(self.features, shipped.names(), lambda name: ("both", name))
            self._select_features(kept)
        if _same_features(self.features.currentData()) != _same_features(kept):
            self._choose_features()

    def _select_features(self, wanted: Any) -> None:
        at = [_same_features(self.features.itemData(k)) for k in range(self.features.count())]
        place = _same_features(wanted)
        self.features.setCurrentIndex(at.index(place) if place in at else 0)

    def _fill_starts(self) -> None:
        rung, ndim, kept = self.rung.currentData(), self.ndim(), self.start.currentData()
        can = [m for m in self.session.models if m.spec.kind == rung and m.ndim == ndim and m.state]
        ships = (rung, ndim) == (shipped.KIND, shipped.NDIM)
        with QSignalBlocker(self.start):
            self.start.fill(can, before="nothing", ships=ships)
            if not self.start.choose(kept) and isinstance(kept, str) and ships:
                # It became one of the session.
                self.start.choose(shipped.open_shipped(kept))
        self._fill_features()


def _next(model: TrainedModel) -> str:
    """Say what to do with a model: one that learnt little had better learn again."""
    if model.scores.get("dice", 1.0) >= _LITTLE:
        return "Next: Predict."
    return (
        "It learnt little. Look whether the labels are right and of the same image, annotate more, "
        "or train longer; then Predict."
    )


def _is_stack(layer: Layer) -> bool:
    """Whether a layer has planes above each other."""
    try:
        image = image_of(layer)
    except InputError:
        return False
    return "Z" in image.axes and image.length("Z") > 1


def _same_features(chosen: Any) -> tuple[str, str]:
    """Return what two choices of features have in common when they are the same."""
    features, eyes = chosen or _BANK
    if isinstance(eyes, TrainedModel):
        return features, eyes.fingerprint
    return features, eyes or ""


def _train(
    spec: ModelSpec,
    lesson: TrainingPair,
    options: TrainOptions,
    name: str,
    kind: Any,
    ndim: int,
    start: TrainedModel | None,
    features_from: TrainedModel | None,
    pretraining: Pretraining | None,
    field: Image | None,
    report: Reporter,
) -> Outcome:
    return train(
        spec,
        [lesson],
        options,
        name=name,
        labels_are=kind,
        ndim=ndim,
        start=start,
        features_from=features_from,
        pretraining=pretraining,
        watch=report.show,
        preview=glimpser(field, report),
        progress=report,
    )
