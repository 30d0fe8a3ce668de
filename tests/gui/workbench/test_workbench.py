"""The Workbench opens at once: pages are loaded and built when they are turned to."""

import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.train.fine_tune_dock import open_fine_tune
from napari_unetseg.gui.workbench import workbench_dock
from napari_unetseg.gui.workbench.dock_registry import HOME, STAGES, TITLES, DockRegistry
from napari_unetseg.gui.workbench.workbench_dock import WorkbenchWidget


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((40, 40), np.uint8), name="picture")
    return viewer


@pytest.fixture
def bench(qtbot, viewer):
    bench = WorkbenchWidget(viewer)
    qtbot.addWidget(bench)
    yield bench
    bench.close_tools()


def built(bench):
    return [TITLES[number] for number in sorted(bench._built)]


def test_the_titles_are_those_of_the_tools():
    assert tuple(kind.title for kind in DockRegistry()) == TITLES


def test_only_the_page_in_sight_is_built(bench):
    assert built(bench) == ["Predict"]
    bench.open_tool("Measure")
    assert built(bench) == ["Predict", "Measure"]


def test_the_others_follow_while_the_window_is_idle(bench, qtbot):
    bench.show()
    qtbot.waitUntil(lambda: len(built(bench)) > 2, timeout=20_000)
    # Those that watch what a hand draws come first.
    assert {"Predict", "Correct", "Train on"} <= set(built(bench))
    qtbot.waitUntil(lambda: len(built(bench)) == len(TITLES), timeout=60_000)
    qtbot.waitUntil(lambda: not bench._later.isActive())
    assert [tool.title for tool in bench.tools] == list(TITLES)
    for number, stage in enumerate(STAGES[1:], 1):
        bench.bar.buttons[number].click()
        assert all(bench.bar.tabs.tabToolTip(k) for k in range(len(stage.tools)))


def test_no_page_is_built_before_all_are_imported_in_a_thread(bench, qtbot, monkeypatch):
    threads, ready = [], threading.Event()

    def importing():
        threads.append(threading.current_thread())
        assert ready.wait(60)

    monkeypatch.setattr(workbench_dock, "import_all", importing)
    bench.show()
    qtbot.waitUntil(lambda: bool(threads), timeout=20_000)
    qtbot.wait(250)
    assert built(bench) == ["Predict"]
    ready.set()
    qtbot.waitUntil(lambda: len(built(bench)) > 2, timeout=20_000)
    assert threads[0] is not threading.main_thread()


def test_a_page_that_is_built_ahead_imports_nothing():
    code = """
import sys
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
app = QApplication([])
from napari_unetseg.gui.workbench.dock_registry import import_all
from napari_unetseg.gui.workbench.workbench_dock import WorkbenchWidget
import_all()
bench = WorkbenchWidget(ViewerModel())
known = set(sys.modules)
bench.tools
late = set(sys.modules) - known
print(sorted(name for name in late if name.startswith(("napari_unetseg.gui", "pyqtgraph"))))
bench.close_tools()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


def test_nothing_is_built_once_it_is_closed(bench, qtbot):
    bench.show()
    bench.close_tools()
    before = built(bench)
    qtbot.wait(250)
    assert built(bench) == before


def test_a_page_that_was_never_seen_is_found_by_its_title(bench, viewer):
    Session.of(viewer).page_wanted.emit("Queue")
    assert "Queue" in built(bench)
    labels = viewer.add_labels(np.zeros((40, 40), np.uint8))
    assert open_fine_tune(viewer, labels)
    assert TITLES[bench._at] == "Train on"


def test_every_tool_belongs_to_one_stage():
    listed = [title for stage in STAGES for title in stage.tools if title != HOME]
    assert sorted(listed) == sorted(TITLES)


def test_a_stage_opens_with_the_tool_that_was_used_there_last(bench):
    learn = next(k for k, stage in enumerate(STAGES) if "Train on" in stage.tools)
    bench.bar.buttons[learn].click()
    assert TITLES[bench._at] == "Train"
    bench.bar.tabs.setCurrentIndex(STAGES[learn].tools.index("Train on"))
    assert TITLES[bench._at] == "Train on"
    bench.bar.buttons[0].click()
    assert bench._pages.currentWidget() is bench.start
    bench.bar.buttons[learn].click()
    assert TITLES[bench._at] == "Train on"


def test_a_run_is_marked_at_its_stage_and_its_tab(bench, qtbot):
    tool = bench.tool(TITLES.index("Background"))
    draft = next(k for k, stage in enumerate(STAGES) if "Background" in stage.tools)
    tool.run()
    assert "Background" in bench.bar.buttons[draft].toolTip()
    bench.bar.buttons[draft].click()
    assert not bench.bar.tabs.tabIcon(0).isNull()
    assert bench.bar.tabs.tabIcon(1).isNull()
    qtbot.waitUntil(lambda: not tool.running, timeout=60_000)
    assert bench.bar.tabs.tabIcon(0).isNull()
    assert "Background" not in bench.bar.buttons[draft].toolTip()


def test_icons_follow_the_theme(bench, viewer):
    before = bench.bar.buttons[0].icon().pixmap(20, 20).toImage()
    viewer.theme = "light"
    assert bench.bar.buttons[0].icon().pixmap(20, 20).toImage() != before


def test_a_model_is_taken_by_its_picture_and_run_once_there_is_an_image(qtbot):
    viewer = ViewerModel()
    bench = WorkbenchWidget(viewer)
    qtbot.addWidget(bench)
    bench.start.show_models()
    cards = bench.start.finder.gallery.cards
    next(card for card in cards if card.name == "neurons").click()
    assert "neurons is chosen" in bench.start.message.text()
    assert bench._pages.currentWidget() is bench.start
    viewer.add_image(np.zeros((40, 40), np.uint8))
    assert TITLES[bench._at] == "Predict"
    assert bench.tool(bench._at).model().name == "neurons"
    bench.close_tools()


def test_opening_loads_no_plots_and_no_other_tools():
    heavy = [
        "pyqtgraph",
        "torch",
        "napari_unetseg.core.model.trained_model",
        "napari_unetseg.gui.train.train_dock",
    ]
    program = (
        "import json, sys, napari_unetseg.gui.workbench.workbench_dock;"
        "import napari_unetseg.gui.background.background_dock;"
        f"print(json.dumps([name for name in {heavy!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert json.loads(done.stdout) == []


def test_an_opened_image_is_looked_at_and_measured_by_one_click(qtbot, tmp_path):
    from napari.layers._source import layer_source

    from napari_unetseg.core.samples import nuclei

    viewer = ViewerModel()
    bench = WorkbenchWidget(viewer)
    qtbot.addWidget(bench)
    bench.show()
    predict = bench.tool(TITLES.index("Predict"))
    with layer_source(path=str(tmp_path / "cells.tif")):
        viewer.add_image(nuclei((128, 144), seed=0).image)
    qtbot.waitUntil(lambda: "nuclei fits best" in predict.message.text(), timeout=60_000)
    assert not predict.measure_button.isVisible()
    predict.run()
    qtbot.waitUntil(lambda: not predict.running, timeout=60_000)
    predict.measure_button.click()
    measure = bench.tool(TITLES.index("Measure"))
    assert measure.isVisible()
    qtbot.waitUntil(lambda: measure.found is not None, timeout=60_000)
    assert measure.pick.layer() is viewer.layers[-1]
    viewer.layers.remove(viewer.layers[-1])
    bench.open_tool("Predict")
    assert not predict.measure_button.isVisible()
    bench.close_tools()


def test_an_image_that_a_script_adds_is_not_looked_at(bench, viewer, qtbot):
    bench.show()
    viewer.layers.clear()
    viewer.add_image(np.zeros((40, 40), np.uint8))
    assert not bench.tool(TITLES.index("Predict"))._look_soon.isActive()
