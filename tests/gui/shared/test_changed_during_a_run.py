"""Whatever is changed while a run goes on: what its result says is how it was started.

Every dock is run twice on the same data. The second time every control, the picked layers and the
models of the session are changed while the computation is held up. Both runs must tell the same:
pixels, metadata, recipe, models, table and message.
"""

import re
import threading
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QListWidget,
    QScrollBar,
)

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import write_image
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.models_io.foreign import NeedsTrust
from napari_unetseg.core.recipe import MeasurementStep, Recipe, ThresholdStep
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.background.background_dock import BackgroundWidget
from napari_unetseg.gui.batch import batch_dock
from napari_unetseg.gui.batch.batch_dock import BatchWidget
from napari_unetseg.gui.correct import correct_dock
from napari_unetseg.gui.correct.correct_dock import CorrectWidget
from napari_unetseg.gui.correct.correct_tools import TOOLS
from napari_unetseg.gui.features.features_dock import FeaturesWidget
from napari_unetseg.gui.measure.measure_dock import MeasureWidget
from napari_unetseg.gui.models import models_dock
from napari_unetseg.gui.models.models_dock import ModelsWidget
from napari_unetseg.gui.queue.queue_dock import QueueWidget
from napari_unetseg.gui.review.review_dock import ReviewWidget
from napari_unetseg.gui.scoreboard.scoreboard_dock import ScoreboardWidget
from napari_unetseg.gui.shared.layer_provenance import draft_of
from napari_unetseg.gui.shared.layers import (
    BEFORE,
    FLATTENED,
    MEASURED,
    OBJECTS,
    mark_again,
    marked,
    options_of_layer,
    role_of,
)
from napari_unetseg.gui.shared.preview import is_preview
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.training_layers import PREDICTED
from napari_unetseg.gui.threshold.threshold_dock import ThresholdWidget
from napari_unetseg.gui.train.fine_tune_dock import FineTuneWidget
from napari_unetseg.gui.train.pretrain_panel import PretrainPanel
from napari_unetseg.gui.train.train_dock import TrainWidget

SAMPLE, OTHER = (samples.nuclei((64, 72), seed=seed) for seed in (2, 5))
_DURATION = re.compile(r"\d+(\.\d+)? ?(s|ms|seconds?|minutes?)\b")


@pytest.fixture(scope="module")
def models():
    """Two models of a kind that differ in all, and a third that comes while a run goes on."""

    def made(name, sample, **spec):
        pair = TrainingPair(sample.as_image(), sample.mask.astype(np.uint8))
        options = TrainOptions(validation=0)
        return train(LogisticSpec(**spec), [pair], options, name=name, labels_are="mask").model

    return [
        made("A", SAMPLE, sigmas="1"),
        made("B", OTHER, sigmas="2"),
        made("late", OTHER, sigmas="1, 2"),
    ]


@pytest.fixture(scope="module")
def networks():
    pair = TrainingPair(SAMPLE.as_image(), SAMPLE.mask.astype(np.uint8))
    options = TrainOptions(until="epochs", epochs=1, steps=2, patch=32, validation=0)
    spec = UNetSpec(width=4, depth=1, resolution="full")
    net = train(spec, [pair], options, name="A", labels_are="mask").model
    return [net, replace(net, name="B"), replace(net, name="late")]


@dataclass
class Window:
    """A viewer with two images, their objects, and strokes on the first."""

    models: list
    viewer: Any = field(default_factory=ViewerModel)

    def __post_init__(self):
        add = self.viewer
        self.image = add.add_image(SAMPLE.image, name="image")
        self.other = add.add_image(OTHER.image, name="other")
        self.ids = add.add_labels(
            SAMPLE.objects.copy(), name="ids", metadata=marked(OBJECTS, self.image, {})
        )
        self.other_ids = add.add_labels(
            OTHER.objects.copy(), name="other ids", metadata=marked(OBJECTS, self.other, {})
        )
        strokes = np.zeros(SAMPLE.mask.shape, np.uint8)
        strokes[4::8] = np.where(SAMPLE.mask[4::8], 2, 1)
        self.strokes = add.add_labels(strokes, name="strokes")
        self.session = Session.of(self.viewer)
        for model in self.models[1::-1]:
            self.session.add_model(model)
        self.viewer.layers.selection.active = self.image


class Dock:
    """How a dock is opened, started and read; what is not to be changed in the meantime."""

    kind: Any
    kept: tuple[str, ...] = ()
    late_model = True

    def prepare(self, window, tool):
        """Choose what to run with."""

    def start(self, tool):
        tool.run()

    def meanwhile(self, window, tool):
        """Change what no control changes."""

    def more(self, window, tool):
        return ()


class Background(Dock):
    kind = BackgroundWidget

    def prepare(self, window, tool):
        tool.exclude.pick(window.ids)


class Threshold(Dock):
    kind = ThresholdWidget

    def prepare(self, window, tool):
        before = marked(FLATTENED, window.other, BackgroundOptions(terms="plane").model_dump())
        mark_again(window.image, before)
        tool.form.set(method="multiotsu", classes=3, result="objects", min_size=4)
        tool.plot.dragged.emit((0.3, 0.6))
        assert tool._dragged == (0.3, 0.6)

    def meanwhile(self, window, tool):
        tool.plot.dragged.emit((0.1, 0.2))
        again = BackgroundOptions(terms="quadratic").model_dump()
        mark_again(window.image, marked(FLATTENED, window.other, again))


class Train(Dock):
    kind = TrainWidget

    def prepare(self, window, tool):
        tool.labels.pick(window.strokes)
        tool.specs["logistic"].set(sigmas="1")


class FineTune(Dock):
    kind = FineTuneWidget

    def prepare(self, window, tool):
        made, _ = window.session.show_labels(
            window.viewer.layers,
            window.image,
            PREDICTED,
            np.ones(SAMPLE.mask.shape, np.uint8),
            name="predicted",
            options={"model": "A", "fingerprint": window.models[0].fingerprint},
        )
        where = np.nonzero(SAMPLE.mask)
        window.session.locks(made).correct(where, np.full(len(where[0]), 0, np.uint8))
        tool.pick.pick(window.image)
        tool.labels.pick(made)
        tool.models.setCurrentIndex(tool.models.findText("A"))


class Scoreboard(Dock):
    kind = ScoreboardWidget
    late_model = False  # the best is named when it is kept, after those that came before

    def prepare(self, window, tool):
        tool.labels.pick(window.strokes)
        for name in ("logistic", "cnn", "unet"):  # which is quickest is a matter of the clock
            tool.ticks[name].setChecked(False)

    def more(self, window, tool):
        return [(row.label, row.kind) for row in tool.board.rows]


class Queue(Dock):
    kind = QueueWidget
    kept = ("image",)  # of other labels nothing is shown, and it says so

    def prepare(self, window, tool):
        tool.pick.pick(window.ids)
        tool.image.pick(window.image)
        tool.models.choose(window.models[0])

    def more(self, window, tool):
        return [(item.kind, item.number) for item in tool.review.queue.items]


class Correct(Dock):
    kind = CorrectWidget
    kept = ("image",)

    def prepare(self, window, tool):
        tool.pick.pick(window.ids)
        tool.form.set(target="every object", pixels=1)

    def start(self, tool):
        tool.press(next(kind for kind in TOOLS if kind.name == "grow"))


class Review(Dock):
    kind = ReviewWidget

    def prepare(self, window, tool):
        tool.pick.pick(window.ids)
        tool.truth.pick(window.other_ids)
        # With another threshold it matches anew once it is done: that is another result.
        tool._match_again = lambda options: None


class Measure(Dock):
    kind = MeasureWidget

    def prepare(self, window, tool):
        tool.pick.pick(window.ids)
        tool.ticks.tick(window.other, False)

    def more(self, window, tool):
        return {name: column.tolist() for name, column in tool.found.items()}


class Features(Dock):
    kind = FeaturesWidget

    def prepare(self, window, tool):
        tool.models.choose(window.models[0])

    def start(self, tool):
        tool.layers.setCurrentIndex(1)
        tool.run()


DOCKS = [
    Background,
    Threshold,
    Train,
    FineTune,
    Scoreboard,
    Queue,
    Correct,
    Review,
    Measure,
    Features,
]


@pytest.mark.parametrize("dock", DOCKS, ids=lambda dock: dock.__name__)
def test_what_a_result_says_is_how_it_was_started(qtbot, monkeypatch, request, dock):
    monkeypatch.setattr(correct_dock, "AT_ONCE", -1)
    made = request.getfixturevalue("networks" if dock is Features else "models")
    assert story(qtbot, dock(), made, disturbed=True) == story(qtbot, dock(), made)


def story(qtbot, dock, models, *, disturbed=False):
    """Run a dock and return all that is told of the result."""
    window = Window(models)
    tool = dock.kind(window.viewer)
    qtbot.addWidget(tool)
    tool.show()
    if dock.kind is FeaturesWidget:
        qtbot.waitUntil(lambda: tool.layers.count() > 1, timeout=120_000)
    dock.prepare(window, tool)
    go_on = hold(tool)
    dock.start(tool)
    assert tool.running, tool.message.text()
    if disturbed:
        assert change_controls(tool, dock.kept) > 1
        dock.meanwhile(window, tool)
        window.viewer.layers.selection.active = window.other
        if dock.late_model:
            window.session.add_model(models[2])
        if "image" in dock.kept:
            tool.pick.pick(window.ids)
    go_on.set()
    qtbot.waitUntil(lambda: not tool.running, timeout=120_000)
    told = {
        "layers": {layer.name: facts_of(layer, window) for layer in results(window)},
        "models": [facts_of_model(m) for m in window.session.models if m not in models],
        "learnt": [
            [(one.image, one.labels, one.labels_are, one.ink) for one in version.learnt]
            for version in window.session.history.versions
            if version.learnt
        ],
        "message": _DURATION.sub("", tool.message.text()),
        "more": dock.more(window, tool),
    }
    tool.close_tool()
    return told


def hold(tool):
    """Let the next computation wait for the event that is returned."""
    go_on, real = threading.Event(), tool.work

    def work(layer, options):
        compute = real(layer, options)

        def held(report):
            assert go_on.wait(120)
            return compute(report)

        return held

    tool.work = work
    return go_on


def change_controls(tool, kept=()):
    """Move every control of a dock to another value; return how many there were."""
    n = 0
    for box in tool.findChildren(QComboBox):
        rows = [k for k in range(box.count()) if box.model().item(k).isEnabled()]
        others = [k for k in rows if k != box.currentIndex()]
        if others and box.objectName() not in kept:
            box.setCurrentIndex(others[0])
            n += 1
    for tick in tool.findChildren(QCheckBox):
        tick.toggle()
        n += 1
    for spin in tool.findChildren(QAbstractSpinBox):
        before = spin.text()
        spin.stepUp()
        if spin.text() == before:
            spin.stepDown()
        n += 1
    for slider in tool.findChildren(QAbstractSlider):
        if not isinstance(slider, QScrollBar):
            low, high = slider.minimum(), slider.maximum()
            slider.setValue(low if slider.value() == high else high)
            n += 1
    for ticks in tool.findChildren(QListWidget):
        for item in map(ticks.item, range(ticks.count())):
            on = item.checkState() == Qt.CheckState.Checked
            item.setCheckState(Qt.CheckState.Unchecked if on else Qt.CheckState.Checked)
            n += 1
    return n


def results(window):
    given = (window.image, window.other, window.other_ids, window.strokes)
    return [one for one in window.viewer.layers if one not in given and not is_preview(one)]


def facts_of(layer, window):
    try:
        draft = {**vars(draft_of(layer, window.session, window.viewer.layers))}
    except InputError as error:
        draft = str(error)
    measured = options_of_layer(layer, MEASURED)
    ink = len(window.session.locks(layer).pixels()) if isinstance(layer, Labels) else 0
    return (
        role_of(layer),
        dict(options_of_layer(layer)),
        dict(options_of_layer(layer, BEFORE)),
        dict(measured),
        draft,
        np.asarray(layer.data).tolist() if hasattr(layer.data, "shape") else None,
        ink,
    )


def facts_of_model(model):
    return (
        model.name,
        model.spec,
        model.labels_are,
        model.ndim,
        model.parent,
        model.fingerprint,
    )


def test_pretraining_is_remembered_of_the_images_that_it_saw(qtbot, qapp):
    window = Window([])
    panel = PretrainPanel(window.viewer)
    qtbot.addWidget(panel)
    panel.on.setCurrentText("this image")
    begun = panel.key_of(window.image)
    panel.on.setCurrentText("all images here")
    done = SimpleNamespace()
    panel.remember(begun, done)
    assert panel.chosen(window.image).done is None, "these images were not pretrained on"
    panel.on.setCurrentText("this image")
    assert panel.chosen(window.image).done is done


def test_a_batch_tells_of_the_recipe_and_folder_it_was_started_with(qtbot, monkeypatch, tmp_path):
    write_image(tmp_path / "in" / "one.tif", SAMPLE.as_image())
    dock = BatchWidget(ViewerModel())
    qtbot.addWidget(dock)
    dock.editor.show_recipe(Recipe(threshold=ThresholdStep(), measurement=MeasurementStep()))
    dock.add([tmp_path / "in"])
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    dock.page.out.setText(str(tmp_path / "first"))
    go_on, real = threading.Event(), batch_dock.run_and_read

    def held(*given, **known):
        assert go_on.wait(60)
        return real(*given, **known)

    monkeypatch.setattr(batch_dock, "run_and_read", held)
    dock.run()
    dock.page.out.setText(str(tmp_path / "second"))
    dock.editor.show_recipe(Recipe(threshold=ThresholdStep(min_size=3)))
    go_on.set()
    qtbot.waitUntil(lambda: not dock.busy, timeout=120_000)
    assert "in 'first'" in dock.page.message.text()
    assert "measurements.csv" in dock.page.message.text(), "the first recipe measured"
    assert (tmp_path / "first").is_dir()
    assert not (tmp_path / "second").exists()
    dock.close_tool()


def test_a_batch_that_was_trusted_is_the_one_that_was_asked_about(qtbot, monkeypatch, tmp_path):
    write_image(tmp_path / "in" / "one.tif", SAMPLE.as_image())
    dock = BatchWidget(ViewerModel())
    qtbot.addWidget(dock)
    dock.editor.show_recipe(Recipe(threshold=ThresholdStep()))
    dock.add([tmp_path / "in"])
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    dock.page.out.setText(str(tmp_path / "first"))
    ran = []

    def run_batch(batch, **known):
        ran.append((batch.out.name, batch.trust))
        if not batch.trust:
            raise NeedsTrust("It is a program.")
        return []

    def asked(*words):
        dock.page.out.setText(str(tmp_path / "second"))
        return True

    monkeypatch.setattr("napari_unetseg.gui.batch.batch_run.run_batch", run_batch)
    monkeypatch.setattr("napari_unetseg.gui.batch.batch_run._medians", lambda table: {})
    monkeypatch.setattr(batch_dock, "ask", asked)
    dock.run()
    qtbot.waitUntil(lambda: len(ran) == 2 and not dock.busy, timeout=60_000)
    assert ran == [("first", False), ("first", True)]
    dock.close_tool()


def test_the_file_that_is_trusted_is_the_one_that_was_asked_about(qtbot, monkeypatch, tmp_path):
    for name in ("first.zip", "second.zip"):
        (tmp_path / name).write_bytes(b"PK")
    dock = ModelsWidget(ViewerModel())
    qtbot.addWidget(dock)
    dock.use_folder(tmp_path)
    ran = []

    def self_test(path, *, trust=False):
        ran.append((path.name, trust))
        if not trust:
            raise NeedsTrust("It is a program.")
        return SimpleNamespace(passed=True, summary="it is the same")

    def asked(*words):
        choose(dock, "second.zip")
        return True

    monkeypatch.setattr(models_dock, "self_test", self_test)
    monkeypatch.setattr(models_dock, "ask", asked)
    choose(dock, "first.zip")
    dock.test()
    qtbot.waitUntil(lambda: "passed" in dock.message.text(), timeout=60_000)
    assert ran == [("first.zip", False), ("first.zip", True)]
    assert dock.message.text().startswith("first.zip: Its own test passed")
    dock.close_tool()


def choose(dock, name):
    names = [dock.list.item(row).text().split("\n")[0] for row in range(dock.list.count())]
    dock.list.setCurrentRow(names.index(name))
