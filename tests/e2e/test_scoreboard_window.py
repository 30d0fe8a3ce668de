"""Models compared in a real window: tick, compare, stop, use another, predict."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unetseg.core.training.corrected_labels import PREDICTED
from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.scoreboard.scoreboard_dock import ScoreboardWidget
from napari_unetseg.gui.shared.layers import role_of
from napari_unetseg.gui.workbench.workbench_dock import WorkbenchWidget

SCOREBOARD, PREDICT = (
    WorkbenchWidget.rungs.index(tool) for tool in (ScoreboardWidget, PredictWidget)
)


@pytest.fixture
def board(hand, nuclei):
    """The page over nuclei with eight rows of strokes."""
    hand.turn_to(SCOREBOARD)
    return hand.tool(SCOREBOARD)


def untick(qtbot, board, *names):
    for name in names:
        tick = board.ticks[name]
        place = tick.rect().center()
        place.setX(10)
        qtbot.mouseClick(tick, Qt.MouseButton.LeftButton, pos=place)
        assert not tick.isChecked()


def test_compare_use_another_and_predict(hand, board, qtbot):
    untick(qtbot, board, "cnn", "unet")
    hand.run(board)
    assert board.message.text().startswith("Use ")
    kept = [row for row in board.board.rows if row is board.board.recommended]
    other = next(row for row in board.board.rows if row not in kept)
    at = board.board.rows.index(other)
    place = board.table.visualItemRect(board.table.item(at, 2)).center()
    qtbot.mouseClick(board.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert board.table.text(at, 0).startswith("✓")

    hand.turn_to(PREDICT)
    predict = hand.tool(PREDICT)
    assert predict.model().spec.kind == other.kind
    hand.run(predict)
    labels = hand.viewer.layers[-1]
    assert role_of(labels) == PREDICTED
    both = np.count_nonzero((labels.data == 2) & hand.truth)
    assert 2 * both / (np.count_nonzero(labels.data == 2) + np.count_nonzero(hand.truth)) > 0.8


def test_stop_while_a_network_learns_and_turn_the_page(hand, board, qtbot):
    untick(qtbot, board, "mlp", "unet")
    board.form.set(budget=10)
    hand.click(board.run_button)
    hand.wait(lambda: board.table.text(1, 1) == "training...")
    hand.turn_to(PREDICT)
    hand.turn_to(SCOREBOARD)
    hand.wait(lambda: "epoch" in board.message.text())
    hand.click(board.stop_button)
    hand.wait(lambda: not board.running)
    assert [row.asked for row in board.board.rows] == ["logistic", "cnn"]
    assert len(board.session.models) == 1
    assert board.table.isVisible()
    # Every row is in sight: the table has no bars of its own.
    last = board.table.visualItemRect(board.table.item(1, 4))
    assert board.table.viewport().rect().contains(last)


def test_closed_on_the_way(hand, board):
    board.form.set(budget=10)
    hand.click(board.run_button)
    hand.wait(lambda: board.table.rowCount() == 4)
    hand.viewer.window.remove_dock_widget(hand.workbench)
    hand.wait(lambda: not board.running)
    assert board.session.models == []
