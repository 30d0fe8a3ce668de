"""A rung that is registered is offered by the docks, with nothing said of it there."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.core.model.registry import RUNGS
from napari_unetseg.gui.scoreboard.scoreboard_dock import ScoreboardWidget
from napari_unetseg.gui.train.train_dock import TrainWidget


@pytest.fixture
def viewer():
    made = ViewerModel()
    made.add_image(np.zeros((32, 32)), name="image")
    return made


def test_the_train_dock_offers_it(qtbot, toy_rung, viewer):
    tool = TrainWidget(viewer)
    qtbot.addWidget(tool)
    assert [tool.rung.itemData(k) for k in range(tool.rung.count())] == list(RUNGS)
    tool.rung.setCurrentIndex(tool.rung.findData(toy_rung.kind))
    assert tool.spec() == toy_rung.spec()
    assert "smallest network" in tool.rung.toolTip()
    assert "radius" in tool.specs[toy_rung.kind].options.model_dump()
    tool.close_tool()


def test_the_scoreboard_offers_it(qtbot, toy_rung, viewer):
    tool = ScoreboardWidget(viewer)
    qtbot.addWidget(tool)
    assert list(tool.ticks) == ["logistic", "mlp", "cnn", "unet", toy_rung.kind]
    assert "minutes" in tool.ticks[toy_rung.kind].toolTip()
    tool.close_tool()
