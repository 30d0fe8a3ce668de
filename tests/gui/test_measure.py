"""The Measure dock on a bare viewer model: table, features, links and edits."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.core import samples
from napari_unetseg.gui.measure import MeasureWidget


@pytest.fixture
def measured(qtbot):
    sample = samples.nuclei((96, 112), seed=3)
    viewer = ViewerModel()
    viewer.add_image(sample.image, name="nuclei", scale=(0.5, 0.5))
    labels = viewer.add_labels(sample.objects, name="cells", scale=(0.5, 0.5))
    viewer.layers.selection.active = labels
    widget = MeasureWidget(viewer)
    qtbot.addWidget(widget)
    widget.run()
    qtbot.waitUntil(lambda: not widget.running, timeout=60_000)
    yield widget, labels, sample
    widget.close_tool()


def test_every_object_has_a_row_and_its_size_in_units(measured):
    widget, labels, sample = measured
    ids, counts = np.unique(sample.objects[sample.objects > 0], return_counts=True)
    table = widget.found
    np.testing.assert_array_equal(table["label"], ids)
    np.testing.assert_array_equal(table["pixels"], counts)
    area = next(name for name in table if name.startswith("area"))
    np.testing.assert_allclose(table[area], 0.25 * counts)
    assert list(labels.features["index"]) == list(ids)
    assert f"{len(ids)} objects" in widget.message.text()


def test_an_edit_makes_the_table_stale(measured, qtbot):
    widget, labels, _ = measured
    assert not widget.stale
    labels.data_setitem((np.array([1, 1, 2]), np.array([1, 2, 1])), 200)
    qtbot.waitUntil(lambda: widget.stale, timeout=5000)
    assert widget.run_button.text() == "Measure again"


def test_the_table_is_saved(measured, qtbot, tmp_path):
    widget, _, sample = measured
    widget.save("table", tmp_path / "cells.csv")
    qtbot.waitUntil(lambda: (tmp_path / "cells.csv").exists() and widget._saving is None)
    rows = (tmp_path / "cells.csv").read_text().splitlines()
    assert len(rows) == 1 + len(np.unique(sample.objects)) - 1
