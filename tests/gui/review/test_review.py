"""The Review dock on a bare viewer model: what it compares, shows, and where it goes."""

import numpy as np
import pytest
from napari.utils.colormaps.standardize_color import transform_color
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import Qt

from napari_unetseg.core.scoring.review_objects import HIT, INVENTED, MISSED
from napari_unetseg.gui.review import review_dock as module
from napari_unetseg.gui.review.review_dock import NEXT_KEY, REVIEW, ReviewWidget
from napari_unetseg.gui.review.review_table import COLOURS
from napari_unetseg.gui.shared.layers import role_of


def camera(viewer):
    return getattr(viewer, "scene", viewer).camera


@pytest.fixture
def tool(qtbot, viewer):
    made = ReviewWidget(viewer)
    qtbot.addWidget(made)
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.running and not made._rematch.busy)


@pytest.fixture
def compare(qtbot, tool):
    def run():
        tool.run()
        qtbot.waitUntil(lambda: not tool.running, timeout=30000)
        qtbot.waitUntil(lambda: not tool._rematch.busy)
        return tool.found

    return run


def pictures(viewer):
    return [layer for layer in viewer.layers if role_of(layer) == REVIEW]


def example(shape=(40, 60)):
    """A hit of IoU 0.75, a miss, and an invention."""
    said, true = np.zeros((2, *shape), np.int32)
    true[..., 2:6, 2:6], said[..., 2:6, 3:6] = 4, 7
    true[..., 2:4, 40:42] = 5
    said[..., 30:34, 50:58] = 9
    return said, true


@pytest.fixture
def two(viewer):
    said, true = example()
    truth = viewer.add_labels(true, name="truth", scale=(0.5, 0.5), translate=(3, 4))
    said = viewer.add_labels(said, name="result", scale=(0.5, 0.5), translate=(3, 4))
    return said, truth


def cells(table, row):
    model = table.rows
    return [model.data(model.index(row, column)) for column in range(model.columnCount())]


def test_other_pixel_sizes_are_noted(tool, two, compare):
    for layer in two:
        layer.units = ("um", "um")
    compare()
    assert "differ" not in tool.message.text()
    two[0].scale = (0.25, 0.25)
    compare()
    assert "differ in pixel size (0.25 and 0.5" in tool.message.text()


def test_it_says_what_it_needs(tool, viewer):
    assert "two Labels layers" in tool.message.text()
    viewer.add_image(np.zeros((4, 4)))
    viewer.add_labels(np.zeros((4, 4), int))
    assert not tool.run_button.isEnabled()
    assert "two Labels layers" in tool.message.text()
    viewer.add_labels(np.zeros((4, 4), int))
    assert tool.run_button.isEnabled()
    assert tool.message.text() == ""


def test_the_newest_is_judged_by_the_one_before(tool, two):
    assert tool.pick.layer() is two[0]
    assert tool.truth.layer() is two[1]


def test_the_two_are_never_the_same(tool, viewer, two):
    said, truth = two
    viewer.layers.selection.active = truth
    assert tool.pick.layer() is said
    tool.pick.pick(truth)
    assert (tool.pick.layer(), tool.truth.layer()) == (truth, said)
    tool.truth.pick(truth)
    assert (tool.pick.layer(), tool.truth.layer()) == (said, truth)
    third = viewer.add_labels(truth.data + 0, name="third")
    assert (tool.pick.layer(), tool.truth.layer()) == (third, truth)


def test_what_it_shows(tool, viewer, two, compare):
    compare()
    message = tool.message.text()
    assert "F1 0.500, AP50 0.333, mean IoU 0.750" in message
    assert "1 matched, 1 missed, 1 false positive" in message
    assert [cells(tool.table, row) for row in range(3)] == [
        ["false positive", "9", "0.00", "32"],
        ["missed", "5", "0.00", "4"],
        ["matched", "4", "0.75", "16"],
    ]
    places = [tool.table.rows.index(row, 1).data(Qt.ItemDataRole.ToolTipRole) for row in (1, 2)]
    assert places == ["At 2, 40", "At 4, 4; object 7 in the other layer"]
    (picture,) = pictures(viewer)
    assert picture.name == "result review"
    assert np.array_equal(picture.scale, two[0].scale)
    assert np.array_equal(picture.translate, two[0].translate)
    assert [picture.data[at] for at in ((2, 2), (2, 40), (30, 50))] == [HIT, MISSED, INVENTED]
    assert viewer.layers.selection.active is two[0]
    # It offers its own picture to nobody, and writes the next one into the same layer.
    assert tool.pick.count() == 2
    compare()
    assert pictures(viewer) == [picture]


def test_another_threshold_matches_again_at_once(qtbot, tool, viewer, two, compare):
    compare()
    tool.form.widget("threshold").value = 0.8
    qtbot.waitUntil(lambda: "0 matched, 2 missed, 2 false positive" in tool.message.text())
    assert "at IoU 0.80" in tool.message.text()
    assert "AP50 0.333" in tool.message.text()
    assert pictures(viewer)[0].data[2, 2] == MISSED
    assert tool.table.rows.rowCount() == 4


def test_rows_lead_to_the_objects(tool, viewer, two, compare):
    compare()
    tool.next_worst()
    assert camera(viewer).center[-2:] == pytest.approx((3 + 31.5 / 2, 4 + 53.5 / 2))
    tool.next_worst()
    assert camera(viewer).center[-2:] == pytest.approx((3 + 2.5 / 2, 4 + 40.5 / 2))
    tool.table.setCurrentIndex(tool.table.rows.index(2, 3))
    assert camera(viewer).center[-2:] == pytest.approx((3 + 3.5 / 2, 4 + 3.5 / 2))
    tool.next_worst()
    assert "the last" in tool.message.text()


def test_the_zoom_changes_only_when_it_must(tool, viewer, two, compare):
    compare()
    camera(viewer).zoom = 50
    tool.next_worst()
    assert camera(viewer).zoom == 50
    camera(viewer).zoom = 0.001
    tool.next_worst()
    assert camera(viewer).zoom > 10
    camera(viewer).zoom = 1e6
    tool.next_worst()
    assert camera(viewer).zoom < 1e4


def test_in_a_volume_the_plane_changes_too(tool, viewer, compare):
    said, true = np.zeros((2, 9, 40, 60), np.int32)
    true[5:8, 10:20, 10:20] = 1
    viewer.add_image(np.zeros((2, 9, 40, 60)))  # one axis more than the labels
    viewer.add_labels(true, name="truth", scale=(2, 1, 1))
    viewer.add_labels(said, name="said", scale=(2, 1, 1))
    compare()
    viewer.dims.set_point(1, 0)
    tool.next_worst()
    assert viewer.dims.point[1] == 12
    assert camera(viewer).center[-2:] == (14.5, 14.5)
    viewer.dims.ndisplay = 3
    viewer.dims.order = (0, 1, 2, 3)
    tool.table.clicked.emit(tool.table.currentIndex())
    assert tuple(camera(viewer).center) == (12, 14.5, 14.5)


def test_a_turned_view(tool, viewer, two, compare):
    compare()
    viewer.dims.order = (1, 0)
    tool.next_worst()
    assert camera(viewer).center[-2:] == pytest.approx((4 + 53.5 / 2, 3 + 31.5 / 2))


def test_planes_labelled_one_by_one(qtbot, tool, viewer, compare):
    said, true = example((3, 40, 60))
    said[1] *= 2
    viewer.add_labels(true)
    viewer.add_labels(said)
    compare()
    assert "3 missed" not in tool.message.text()
    tool.form.widget("per").value = "plane"
    qtbot.waitUntil(
        lambda: "3 matched, 3 missed, 3 false positive" in tool.message.text(), timeout=10000
    )
    assert pictures(viewer)[0].data[1, 2, 2] == HIT


def test_a_film_is_judged_frame_by_frame(tool, viewer, compare):
    said, true = example((2, 3, 40, 60))
    said[1] *= 2
    viewer.add_labels(true)
    viewer.add_labels(said)
    compare()
    assert "2 matched, 2 missed, 2 false positive" in tool.message.text()


def test_sorting_by_a_column(tool, two, compare):
    compare()
    tool.table.sortByColumn(3, Qt.SortOrder.AscendingOrder)
    assert [cells(tool.table, row)[3] for row in range(3)] == ["4", "16", "32"]
    tool.table.sortByColumn(3, Qt.SortOrder.DescendingOrder)
    assert [cells(tool.table, row)[0] for row in range(3)] == [
        "false positive",
        "matched",
        "missed",
    ]
    for column in range(tool.table.rows.columnCount()):
        tool.table.sortByColumn(column, Qt.SortOrder.AscendingOrder)
    compare()
    assert cells(tool.table, 0)[0] == "false positive"


def test_shapes_that_do_not_match(tool, viewer, two):
    viewer.add_labels(np.zeros((5, 5), int), name="small")
    tool.run()
    assert not tool.running
    assert "'small' has the shape (5, 5)" in tool.message.text()
    assert pictures(viewer) == []


def test_a_mask_is_one_object_and_that_is_said(tool, viewer, two, compare):
    viewer.add_labels((two[0].data > 0).astype(int), name="mask")
    compare()
    assert "Next: the prediction is a single object; if it is a mask" in tool.message.text()


def test_nothing_in_either(tool, viewer, compare):
    for _ in range(2):
        viewer.add_labels(np.zeros((6, 6), int))
    assert len(compare()) == 0
    assert "0 matched, 0 missed, 0 false positive" in tool.message.text()
    assert not tool.next_button.isEnabled()


@pytest.mark.parametrize("which", [0, 1])
def test_a_layer_removed_in_mid_run(qtbot, tool, viewer, two, which):
    tool.run()
    viewer.layers.remove(two[which])
    qtbot.waitUntil(lambda: not tool.running)
    assert "removed" in tool.message.text() or "two Labels layers" in tool.message.text()
    assert pictures(viewer) == []
    assert tool.found is None


@pytest.mark.parametrize("which", [0, 1])
def test_a_layer_removed_after_the_run(tool, viewer, two, compare, which):
    compare()
    viewer.layers.remove(two[which])
    assert tool.found is None
    assert tool.table.rows.rowCount() == 0
    tool.next_worst()
    tool.form.widget("threshold").value = 0.8


def test_a_picture_removed_is_made_again(tool, viewer, two, compare):
    compare()
    viewer.layers.remove(pictures(viewer)[0])
    compare()
    assert len(pictures(viewer)) == 1


def test_edited_labels_are_told(tool, two, compare):
    compare()
    two[0].data_setitem((np.array([20]), np.array([20])), 3)
    assert "changed since" in tool.message.text()
    compare()
    assert "changed since" not in tool.message.text()
    assert "2 false positive" in tool.message.text()


def test_labels_edited_in_mid_run_are_told(qtbot, tool, two, monkeypatch):
    real, go = module._compare, []

    def slowly(*given):
        while not go:
            given[-1](0.1)
        return real(*given)

    monkeypatch.setattr(module, "_compare", slowly)
    tool.run()
    two[0].data_setitem((np.array([20]), np.array([20])), 3)
    go.append(True)
    qtbot.waitUntil(lambda: not tool.running)
    assert "changed since" in tool.message.text()
    assert "1 matched" in tool.message.text()


def test_labels_of_another_shape_since(qtbot, tool, two, compare):
    compare()
    two[0].data = np.zeros((7, 7), int)
    tool.form.widget("threshold").value = 0.8
    qtbot.wait(50)
    assert "changed since" in tool.message.text()


def test_the_key_is_free_and_only_ours_in_sight(qtbot, tool, viewer, two, compare):
    taken = {str(key) for keys in default_shortcuts.values() for key in keys}
    assert NEXT_KEY not in taken
    compare()
    assert not viewer.keymap
    tool.show()
    qtbot.waitUntil(tool.isVisible)
    ((key, function),) = viewer.keymap.items()
    assert str(key) == NEXT_KEY
    function(viewer)
    assert tool.table.currentIndex().row() == 0
    tool.hide()
    assert not viewer.keymap


def test_a_key_that_somebody_has_is_left_alone(qtbot, tool, viewer):
    def theirs(viewer):
        pass

    viewer.bind_key(NEXT_KEY, theirs)
    tool.show()
    qtbot.waitUntil(tool.isVisible)
    tool.hide()
    assert list(viewer.keymap.values()) == [theirs]


def test_closing_lets_go_of_the_layers(tool, viewer, two, compare):
    def listeners():
        emitters = [e for layer in two for e in layer.events.emitters.values()]
        return sum(len(emitter.callbacks) for emitter in (*emitters, viewer.layers.events))

    compare()
    listening = listeners()
    tool.close_tool()
    assert listeners() < listening
    pages = len(viewer.layers)
    viewer.add_labels(np.zeros((4, 4), int))
    assert len(viewer.layers) == pages + 1


def test_the_picture_has_the_colours_of_the_table(tool, viewer, two, compare):
    compare()
    shown = pictures(viewer)[0].colormap.map(np.array([0, *COLOURS], dtype=np.uint8))
    expected = [(0, 0, 0, 0), *(transform_color(colour)[0] for colour in COLOURS.values())]
    np.testing.assert_allclose(shown, expected, atol=1 / 255)


def test_pixels_below_0_are_left_out(tool, two, compare):
    truth = two[1]
    truth.data[30:34, 50:58] = -1
    truth.data[0:2, 0:2] = -1
    truth.refresh()
    matching = compare().matching
    assert (matching.n_true, matching.n_predicted, matching.n_matched) == (2, 1, 1)
    assert "Pixels below 0 are left out." in tool.message.text()
