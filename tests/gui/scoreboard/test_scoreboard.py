"""The Scoreboard dock on a bare viewer model: its table, what it keeps, how it ends."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_unetseg.core import samples
from napari_unetseg.core.training.compare_models import Row
from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.scoreboard.scoreboard_dock import ScoreboardWidget
from napari_unetseg.gui.scoreboard.scoreboard_table import COLUMNS, ScoreboardTable
from napari_unetseg.gui.shared.session import Session


@pytest.fixture(scope="module")
def sample():
    return samples.nuclei((96, 112), seed=3)


@pytest.fixture
def viewer(sample):
    """Nuclei with strokes: 1 beside them, 2 on them."""
    made = ViewerModel()
    image = made.add_image(sample.image, name="nuclei", scale=(0.5, 0.5))
    strokes = np.zeros(sample.classes.shape, np.uint8)
    strokes[4::8] = np.where(sample.mask[4::8], 2, 1)
    made.add_labels(strokes, name="strokes", scale=(0.5, 0.5))
    made.layers.selection.active = image
    return made


@pytest.fixture
def tool(qtbot, viewer):
    made = ScoreboardWidget(viewer)
    qtbot.addWidget(made)
    tick(made, "logistic", "mlp")
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.running, timeout=30000)


@pytest.fixture
def wait(qtbot, tool):
    def until(condition=lambda: not tool.running):
        qtbot.waitUntil(lambda: bool(condition()), timeout=60000)

    return until


@pytest.fixture
def compare(tool, wait):
    def run():
        tool.run()
        wait()
        return tool.board

    return run


def tick(tool, *names):
    for name, box in tool.ticks.items():
        box.setChecked(name in names)


def names(viewer):
    return [model.name for model in Session.of(viewer).models]


def cells(table):
    return [
        [table.text(row, column) for column in range(table.columnCount())]
        for row in range(table.rowCount())
    ]


def click(qtbot, table, row):
    place = table.visualItemRect(table.item(row, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_every_sensible_model_is_ticked_and_nothing_is_in_the_table(qtbot, viewer):
    tool = ScoreboardWidget(viewer)
    qtbot.addWidget(tool)
    assert [name for name, box in tool.ticks.items() if box.isChecked()] == [
        "logistic",
        "mlp",
        "cnn",
        "unet",
    ]
    assert not tool.table.isVisibleTo(tool)
    tool.close_tool()


def test_the_table_the_sentence_and_what_predict_uses(qtbot, tool, viewer, compare):
    predict = PredictWidget(viewer)
    qtbot.addWidget(predict)
    board = compare()
    best = board.recommended
    assert best.dice > 0.9
    shown = cells(tool.table)
    assert [line[0].removeprefix("✓ ") for line in shown] == ["logistic", "mlp"]
    for line, row in zip(shown, board.rows, strict=True):
        assert line[1:3] == ["–", "–"], "one held-out stroke of a class gives no score"
        assert line[4] == f"{row.seconds_per_megapixel:.2f}"
        assert line[0].startswith("✓") == (row is best)
    message = tool.message.text()
    assert message.startswith(board.recommendation)
    assert f"Kept as '{best.kind} 1'" in message
    assert names(viewer) == [f"{best.kind} 1"]
    assert predict.model().scores["dice"] == best.dice
    predict.close_tool()


def test_another_row_can_be_used_and_is_added_once(qtbot, tool, viewer, compare):
    board = compare()
    first, other = (0, 1) if board.recommended is board.rows[0] else (1, 0)
    changes = []
    Session.of(viewer).models_changed.connect(lambda: changes.append(names(viewer)))
    click(qtbot, tool.table, other)
    kind = board.rows[other].kind
    assert names(viewer) == [f"{board.rows[first].kind} 1", f"{kind} 1"]
    assert f"Predict now uses '{kind} 1'" in tool.message.text()
    assert "Too little was held out for a score: 249 pixels, only 18" in tool.message.text()
    assert "Dice" not in tool.message.text()
    assert tool.table.text(other, 0) == f"✓ {kind}"
    click(qtbot, tool.table, first)
    click(qtbot, tool.table, other)
    assert sorted(names(viewer)) == sorted([f"{board.rows[first].kind} 1", f"{kind} 1"])
    assert names(viewer)[-1] == f"{kind} 1"
    assert len(changes) == 3


def test_a_second_run_keeps_what_the_first_kept(tool, viewer, compare):
    compare()
    compare()
    assert [name.split()[1] for name in names(viewer)] == ["1", "2"]


def test_shuffled_labels_are_not_recommended(tool, viewer, compare):
    strokes = viewer.layers["strokes"]
    rng = np.random.default_rng(0)
    strokes.data = rng.permutation(strokes.data.ravel()).reshape(strokes.data.shape)
    board = compare()
    assert board is not None
    assert board.recommended is None
    assert "No model does much better than guessing" in tool.message.text()


def test_more_classes_take_the_softmax(tool, viewer, compare):
    strokes = viewer.layers["strokes"]
    three = strokes.data.copy()
    three[:, :30] = np.where(three[:, :30] > 0, 3, 0)
    strokes.data = three
    compare()
    assert {row.kind for row in tool.board.rows} == {"softmax", "mlp"}


@pytest.mark.parametrize("kind", ["mask", "objects"])
def test_masks_and_objects(kind, tool, viewer, sample, compare):
    data = sample.classes if kind == "mask" else sample.objects
    truth = viewer.add_labels(data, name="all", scale=(0.5, 0.5))
    viewer.layers.selection.active = viewer.layers["nuclei"]
    tool.labels.pick(truth)
    tool.kind.setCurrentIndex(tool.kind.findData(kind))
    tick(tool, "logistic")
    board = compare()
    assert board.rows[0].model.labels_are == kind
    assert board.rows[0].dice > 0.9
    assert "Predict." in tool.message.text(), "there is no other model to click"


def test_a_time_series_with_the_strokes_of_one_plane(viewer, sample, tool, compare):
    series = viewer.add_image(np.stack([sample.image] * 2), name="series", scale=(1, 0.5, 0.5))
    tool.pick.pick(series)
    tick(tool, "logistic")
    assert compare().rows[0].dice > 0.9


def test_what_is_missing_is_said(tool, viewer):
    def said():
        tool.run()
        return tool.message.text()

    tick(tool)
    assert "Tick at least one model" in said()
    tick(tool, "mlp")
    viewer.layers.remove("strokes")
    assert "There is no Labels layer" in said()
    viewer.layers.clear()
    assert "Open an image" in tool.message.text()
    assert not tool.run_button.isEnabled()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((96, 112), np.uint8), "Nothing is annotated"),
        (np.pad(np.ones((4, 112), np.uint8), ((0, 92), (0, 0))), "Only one class"),
        (np.repeat([1, 0, 2], 32)[:, None] * np.ones((1, 112), np.uint8), "second stroke"),
        (np.ones((9, 9), np.uint8), "shape"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(labels, words, tool, viewer, compare):
    viewer.layers["strokes"].data = labels.astype(np.uint8)
    assert compare() is None
    assert words in tool.message.text()
    assert names(viewer) == []


def test_rows_come_one_by_one_and_a_cancel_keeps_nothing(tool, viewer, compare, wait):
    before = compare()
    kept, shown = names(viewer), cells(tool.table)
    tick(tool, "logistic", "cnn")
    tool.form.set(budget=10)
    tool.run()
    wait(lambda: tool.table.text(1, 0) == "cnn" and tool.table.text(1, 1) == "training...")
    assert tool.table.text(0, 1) == "–"
    assert names(viewer) == kept, "nothing is kept before the end"
    tool.cancel()
    wait()
    assert names(viewer) == kept
    assert tool.board is before
    assert cells(tool.table) == shown
    assert "Cancelled" in tool.message.text()


def test_a_cancelled_first_run_leaves_no_table(tool, viewer, wait):
    tick(tool, "logistic", "cnn")
    tool.form.set(budget=10)
    tool.run()
    wait(lambda: tool.table.text(1, 1) == "training...")
    tool.cancel()
    wait()
    assert tool.table.rowCount() == 0
    assert not tool.table.isVisibleTo(tool)
    assert names(viewer) == []


def test_stop_keeps_the_models_that_are_done(tool, viewer, wait):
    tick(tool, "logistic", "cnn", "unet")
    tool.form.set(budget=10)
    tool.run()
    wait(lambda: tool.table.text(1, 1) == "training...")
    tool.stop()
    wait()
    assert tool.board.rows[0].kind == "logistic"
    assert "unet" in tool.board.untried
    assert "Not tried: " in tool.message.text()
    assert names(viewer) == [f"{tool.board.kept.kind} 1"]
    assert tool.table.rowCount() == len(tool.board.rows)


@pytest.mark.parametrize("gone", ["nuclei", "strokes"])
def test_a_layer_removed_on_the_way(gone, tool, viewer, wait):
    tick(tool, "logistic", "cnn")
    tool.form.set(budget=0.02)
    tool.run()
    wait(lambda: tool.table.text(1, 1) == "training...")
    viewer.layers.remove(gone)
    wait()
    assert len(names(viewer)) == 1, "a model is of use without the layers that it learnt from"


def test_a_second_click_and_a_row_clicked_on_the_way_do_nothing(qtbot, tool, viewer, wait):
    tool.show()
    tick(tool, "logistic", "cnn")
    tool.form.set(budget=10)
    tool.run()
    task = tool.task
    wait(lambda: tool.table.text(1, 1) == "training...")
    tool.run()
    assert tool.task is task
    tool.table.chosen.emit(tool.table._rows[0])
    assert names(viewer) == []
    tool.cancel()
    wait()


def test_a_closed_page_ends_its_run(tool, viewer, wait):
    tick(tool, "cnn")
    tool.form.set(budget=10)
    tool.run()
    wait(lambda: tool.table.rowCount() == 1)
    tool.close_tool()
    wait()
    assert names(viewer) == []


class TestTable:
    def test_a_model_that_failed_says_why(self, qtbot, tool):
        table = ScoreboardTable()
        qtbot.addWidget(table)
        table.begin(["logistic", "mlp"])
        assert [line[1] for line in cells(table)] == ["training...", "waiting"]
        failed = Row("logistic", message="It tells two classes apart.")
        table.add(failed)
        assert cells(table)[0][:2] == ["logistic", "failed"]
        assert cells(table)[1][1] == "training..."
        assert "two classes" in table.item(0, 1).toolTip()
        with qtbot.waitSignal(table.chosen) as told:
            table.cellClicked.emit(0, 0)
        assert told.args == [failed]
        tool._on_chosen(failed)
        assert tool.message.text() == failed.message

    def test_a_network_that_fell_back_is_shown_as_what_it_is(self, qtbot, compare, tool):
        (logistic,) = [row for row in compare().rows if row.kind == "logistic"]
        table = ScoreboardTable()
        qtbot.addWidget(table)
        table.resize(262, 100)
        fallen = replace(logistic, asked="unet", message="The unet did worse.")
        table.show_rows([logistic, fallen], fallen)
        assert [table.text(row, 0) for row in (0, 1)] == ["logistic", "✓ unet\n→ logistic"]
        assert "did worse" in table.item(1, 0).toolTip()
        assert "too little held out" in table.item(1, 0).toolTip()
        enough = {"dice": logistic.dice, "held_out_least": 80, "held_out_strokes": 2}
        table.show_rows([replace(logistic, model=replace(logistic.model, scores=enough))], None)
        scores = [f"{logistic.dice:.3f}", f"{logistic.scores.iou:.3f}"]
        assert [table.text(0, column) for column in (1, 2)] == scores
        table.show_rows([logistic, fallen], fallen)
        # Both lines are in sight, and so is every row.
        assert table.rowHeight(1) >= 2 * table.fontMetrics().height()
        assert table.height() >= table.rowHeight(0) + table.rowHeight(1)

    def test_every_column_says_what_it_is(self, qtbot):
        table = ScoreboardTable()
        qtbot.addWidget(table)
        for column, (name, help_text) in enumerate(COLUMNS.items()):
            item = table.horizontalHeaderItem(column)
            assert (item.text(), item.toolTip()) == (name, help_text)

    def test_a_row_that_is_not_done_cannot_be_clicked(self, qtbot):
        table = ScoreboardTable()
        qtbot.addWidget(table)
        table.begin(["logistic"])
        with qtbot.assertNotEmitted(table.chosen):
            table.cellClicked.emit(0, 0)
