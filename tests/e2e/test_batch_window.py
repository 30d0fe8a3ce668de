"""The Batch dock in a real window: climb the ladder on one image, do it with a folder."""

import numpy as np

from napari_unetseg.core.io import read_labels, write_image
from napari_unetseg.core.samples import nuclei
from napari_unetseg.gui.batch.batch_dock import BatchWidget
from napari_unetseg.gui.workbench.workbench_dock import WorkbenchWidget

BATCH = WorkbenchWidget.rungs.index(BatchWidget)


def test_what_is_done_with_one_is_done_with_a_folder(hand, tmp_path):
    place = tmp_path / "plate"
    for seed in range(3):
        write_image(place / f"n{seed}.tif", nuclei((96, 104), seed=seed).as_image())
    (place / "broken.png").write_bytes(b"broken")
    hand.viewer.layers.clear()
    hand.viewer.open(str(place / "n1.tif"), plugin="napari")
    hand.turn_to(0)
    hand.run(hand.tool(0))
    hand.turn_to(1)
    hand.tool(1).form.set(result="objects", min_size=10)
    hand.run(hand.tool(1))
    shown = np.asarray(hand.viewer.layers["n1 flattened objects, threshold"].data)

    hand.turn_to(BATCH)
    dock = hand.tool(BATCH)
    hand.wait(lambda: not dock.busy)
    dock.add([place])
    hand.wait(lambda: not dock.busy)
    hand.click(dock.page.buttons["run"])
    hand.wait(lambda: not dock.busy)
    assert "3 of 4 images done, 1 failed" in dock.page.message.text()
    written = read_labels(tmp_path / "plate results" / "labels" / "n1.tif").data
    np.testing.assert_array_equal(written, shown)
    assert written.max() > 1


def test_the_page_has_all_the_room_of_its_dock(hand):
    dock, tool = hand.viewer.window.add_plugin_dock_widget("napari-unetseg", "Batch")
    # napari puts a stretch under what does not ask for all the room, and halves it.
    assert tool.layout().count() == 1
    hand.viewer.window.remove_dock_widget(dock)
