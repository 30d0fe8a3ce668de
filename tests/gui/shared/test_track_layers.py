"""Tracks in the window: a layer beside the labels, kept with them, and a table to save."""

import csv

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Tracks

from napari_unetseg.core.objects.lineage import Lineage
from napari_unetseg.gui.measure.measure_dock import MeasureWidget
from napari_unetseg.gui.project.autosave import Autosave
from napari_unetseg.gui.project.project_layers import contents_of, layers_from_contents
from napari_unetseg.gui.shared.layers import image_of
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.track_layers import show_tracks
from napari_unetseg.gui.threshold.threshold_dock import ThresholdWidget

pytest.importorskip("laptrack")


def movie():
    """Draw a bright square that moves by its width, then becomes two."""
    grey = np.full((4, 48, 48), 10, np.uint8)
    grey[0, 20:28, 8:16] = grey[1, 20:28, 18:26] = 200
    grey[2, 16:21, 20:26] = grey[2, 28:33, 20:26] = 200
    grey[3, 14:19, 20:26] = grey[3, 30:35, 20:26] = 200
    return grey


@pytest.fixture
def viewer():
    made = ViewerModel()
    made.add_image(movie(), name="movie", scale=(1, 0.5, 0.5), axis_labels=("t", "y", "x"))
    return made


@pytest.fixture
def draft(qtbot, viewer):
    tool = ThresholdWidget(viewer)
    qtbot.addWidget(tool)
    tool.form.put_back(tool.form.options.model_copy(update={"result": "objects"}))
    yield tool
    tool.close_tool()
    qtbot.waitUntil(lambda: not tool.running)


def run(qtbot, tool, **options):
    tool.form.put_back(tool.form.options.model_copy(update=options))
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)


def tracks_of(viewer):
    return [layer for layer in viewer.layers if isinstance(layer, Tracks)]


def test_threshold_and_measure_show_the_tracks_and_a_project_keeps_them(
    qtbot, viewer, draft, tmp_path
):
    assert tuple(draft.form.widget("link").choices) == ("auto", "none", "time")
    assert draft.form.widget("link_iou").native.isHidden()
    run(qtbot, draft, link="time")
    assert draft.form.widget("link_iou").native.isHidden(), "nothing is linked by overlap"
    assert not draft.form.widget("link_distance").native.isHidden()
    labels = viewer.layers["movie objects, threshold"]
    (tracks,) = tracks_of(viewer)
    assert viewer.layers.selection.active is not tracks
    assert tracks.graph == {2: [1], 3: [1]}
    assert np.allclose(tracks.scale, labels.scale)
    assert tracks.data[0].tolist() == [1, 0, 23.5, 11.5]
    assert image_of(labels).parents == {2: 1, 3: 1}

    viewer.layers.selection.active = labels
    tool = MeasureWidget(viewer)
    qtbot.addWidget(tool)
    assert tool.form.widget("per").native.isHidden(), "a movie has no planes to measure"
    tracks.tail_length = 7
    run(qtbot, tool)
    assert "6 rows of 3 tracks" in tool.message.text()
    assert tool.found["parent"].tolist() == [0, 0, 1, 1, 1, 1]
    (again,) = tracks_of(viewer)
    assert again is not tracks
    assert again.tail_length == 7, "the look that was chosen stays"
    tool.save("tracks", tmp_path / "tracks.csv")
    qtbot.waitUntil(lambda: tool._saving is None)
    with open(tmp_path / "tracks.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["parent"] for row in rows] == ["0", "1", "1"]
    tool.close_tool()

    contents = contents_of(viewer, Session.of(viewer), lambda key, version: False)
    assert not contents.missing, "tracks can be made again, so nothing is missed"
    opened, _ = layers_from_contents(contents)
    kept = next(layer for layer in opened if isinstance(layer, Labels))
    assert image_of(kept).parents == {2: 1, 3: 1}
    Autosave.of(viewer).save_as(tmp_path / "p.unetseg")
    qtbot.waitUntil(lambda: not Autosave.of(viewer).busy)
    other = ViewerModel()
    Autosave.of(other).open(tmp_path / "p.unetseg")
    qtbot.waitUntil(lambda: bool(tracks_of(other)))
    (drawn,) = tracks_of(other)
    assert drawn.graph == {2: [1], 3: [1]}
    np.testing.assert_array_equal(drawn.data, again.data)

    run(qtbot, draft, link="none")
    assert not tracks_of(viewer), "objects that are not linked have no tracks"
    assert image_of(viewer.layers["movie objects, threshold"]).parents is None


def test_links_through_time_are_offered_only_where_there_is_time(qtbot, viewer, draft):
    draft.form.put_back(draft.form.options.model_copy(update={"link": "time"}))
    stack = viewer.add_image(movie(), name="stack")
    viewer.layers.selection.active = stack
    assert tuple(draft.form.widget("link").choices) == ("auto", "none", "planes")
    assert draft.form.options.link == "auto"
    with_time = draft.form.options.model_copy(update={"link": "time"})
    draft.form.options = with_time
    assert draft.form.options == with_time, "options of an earlier run can be shown"
    plane = viewer.add_image(movie()[0], name="plane")
    viewer.layers.selection.active = plane
    assert draft.form.options.link == "auto"


def test_tracks_need_time_first_and_objects(viewer):
    labels = viewer.add_labels(np.ones((2, 8, 8), np.uint8), axis_labels=("t", "y", "x"))
    assert show_tracks(viewer.layers, labels, Lineage(np.zeros((0, 4)), {})) is None
    stack = viewer.add_labels(np.ones((2, 8, 8), np.uint8))
    place = np.array([[1, 0, 3.5, 3.5], [1, 1, 3.5, 3.5]])
    assert show_tracks(viewer.layers, stack, Lineage(place, {})) is None
    assert show_tracks(viewer.layers, labels, Lineage(place, {})) in viewer.layers
