"""Strokes in the Train dock: their layer, the buttons of their classes, counts and names."""

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton
from scipy.ndimage import label as pieces

from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.gui.project.project_layers import contents_of, layers_from_contents
from napari_unetseg.gui.shared.layers import METADATA_KEY, choose_axes
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.stroke_layer import (
    CLASS_NAMES,
    add_stroke_layer,
    class_names,
    set_class_names,
    strokes_of,
)
from napari_unetseg.gui.shared.training_layers import lesson_of
from napari_unetseg.gui.train import train_dock
from napari_unetseg.gui.train.stroke_counts import ClassCount, StrokeCounts, count_strokes
from napari_unetseg.gui.train.train_dock import TrainWidget


@pytest.fixture
def viewer():
    """A dark and a bright half."""
    made = ViewerModel()
    noise = np.random.default_rng(0).standard_normal((48, 64))
    made.add_image((np.arange(64) >= 32) * 4 + noise, name="halves", scale=(0.5, 0.5))
    return made


@pytest.fixture
def tool(qtbot, viewer):
    made = TrainWidget(viewer)
    qtbot.addWidget(made)
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.running, timeout=60000)


@pytest.fixture
def strokes(tool, viewer):
    """The layer for strokes that the button made."""
    tool.strokes.new_button.click()
    return viewer.layers["halves strokes"]


@pytest.fixture
def cold(monkeypatch):
    """Do not prepare a training when the page is shown."""
    monkeypatch.setattr(train_dock, "warm_up", lambda: None)


def counted(qtbot, counts):
    """Wait for the counts, and return them."""
    qtbot.waitUntil(lambda: not counts.busy, timeout=60000)
    return counts.counts()


def buttons(tool):
    """Return the shown state of each class: number, name, whether chosen, and its count."""
    rows = tool.strokes.classes._rows
    return {
        value: (row.name.text(), row.button.isChecked(), row.count.text())
        for value, row in rows.items()
    }


def paint(layer, value, row, columns=range(4, 20)):
    for column in columns:
        layer.data_setitem((np.array([row]), np.array([column])), value)


KINDS = {
    "plane": ({"data": np.zeros((20, 30))}, "", (20, 30)),
    "colour": ({"data": np.zeros((20, 30, 3), np.uint8), "rgb": True}, "", (20, 30)),
    "channels": ({"data": np.zeros((2, 20, 30))}, "CYX", (20, 30)),
    "channels last": ({"data": np.zeros((20, 30, 2)), "rgb": False}, "YXC", (20, 30)),
    "stack": ({"data": np.zeros((5, 20, 30))}, "ZYX", (5, 20, 30)),
    "movie": ({"data": np.zeros((4, 2, 5, 20, 30), np.uint8)}, "TCZYX", (4, 5, 20, 30)),
    "levels": (
        {"data": [np.zeros((40, 60)), np.zeros((20, 30))], "multiscale": True},
        "",
        (40, 60),
    ),
    "lazy": ({"data": da.zeros((3, 20, 30), chunks=10)}, "ZYX", (3, 20, 30)),
    "turned": ({"data": np.zeros((20, 30)), "rotate": 30, "scale": (2, 0.5)}, "", (20, 30)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_strokes_lie_over_any_image(kind):
    arguments, axes, shape = KINDS[kind]
    viewer = ViewerModel()
    image = viewer.add_image(name="any", **arguments)
    if axes:
        choose_axes(image, axes)
    layer = add_stroke_layer(viewer, image)
    assert layer.data.shape == shape
    assert layer.data.dtype == np.uint8
    whole = (image.data[0] if image.multiscale else image.data).shape[: image.ndim]
    corners = [
        one.data_to_world(np.array(n) - 1)[-2:] for one, n in ((image, whole), (layer, shape))
    ]
    assert np.allclose(*corners)
    pair, _ = lesson_of(image, layer, "scribbles", (0,) * (image.ndim - 2))
    assert pair.labels.shape == shape
    assert 3 <= layer.brush_size <= 40
    assert strokes_of(viewer.layers, image) is layer


def test_the_button_makes_one_layer_with_the_brush_in_hand(tool, viewer):
    image = viewer.layers["halves"]
    assert tool.strokes.new_button.text() == "New strokes layer"
    assert buttons(tool) == {}
    tool.strokes.new_button.click()
    layer = viewer.layers["halves strokes"]
    assert tuple(layer.scale) == (0.5, 0.5)
    assert (layer.mode, layer.selected_label) == ("paint", 1)
    assert viewer.layers.selection.active is layer
    assert (tool.labels.layer(), tool.pick.layer()) == (layer, image)
    paint(layer, 1, 3)
    layer.name, layer.selected_label = "mine", 2
    viewer.layers.selection.active = image
    layer.mode = "pan_zoom"
    tool.strokes.new_button.click()
    assert list(viewer.layers) == [image, layer], "one is enough"
    assert (layer.data == 1).sum() == 16
    assert (layer.mode, layer.selected_label) == ("paint", 2)
    assert "already there" in tool.message.text()


def test_without_an_image_there_is_nothing_to_paint_on(qtbot):
    viewer = ViewerModel()
    tool = TrainWidget(viewer)
    qtbot.addWidget(tool)
    tool.strokes.new_button.click()
    assert not list(viewer.layers)
    assert tool.message.text() == tool.nothing_text
    tool.close_tool()


def test_buttons_and_brush_show_the_same_class(qtbot, tool, strokes):
    rows = tool.strokes.classes._rows
    counted(qtbot, tool.strokes.classes.counts)
    assert buttons(tool) == {
        1: ("background", True, "nothing yet"),
        2: ("object", False, "nothing yet"),
    }
    rows[2].button.click()
    assert strokes.selected_label == 2
    assert [row.button.isChecked() for row in rows.values()] == [False, True]
    strokes.selected_label = 1
    assert [row.button.isChecked() for row in rows.values()] == [True, False]
    rows[1].button.click()
    assert rows[1].button.isChecked(), "the class in hand stays chosen"
    strokes.mode = "pan_zoom"
    rows[2].button.click()
    assert strokes.mode == "paint"
    strokes.mode = "fill"
    rows[1].button.click()
    assert strokes.mode == "fill"

    def swatch(value):
        return rows[value].button.icon().pixmap(8, 8).toImage().pixelColor(4, 4).getRgbF()[:3]

    for value in rows:
        assert np.allclose(swatch(value), strokes.get_color(value)[:3], atol=0.01)
    before = swatch(2)
    strokes.new_colormap(seed=3)
    assert np.allclose(swatch(2), strokes.get_color(2)[:3], atol=0.01)
    assert before != swatch(2)


def test_classes_are_added_named_and_removed(qtbot, tool, strokes):
    classes = tool.strokes.classes
    classes.add_button.click()
    assert list(buttons(tool)) == [1, 2, 3]
    assert strokes.selected_label == 3
    name = classes._rows[3].name
    assert name.placeholderText() == "class 3"
    name.setText("halo")
    QTest.keyClick(name, Qt.Key.Key_Return)
    assert not tool.running, "Enter ends the typing and does not train"
    assert class_names(strokes) == {1: "background", 2: "object", 3: "halo"}
    # Removed with its brush in hand; painting with the number again brings it back, nameless.
    classes._rows[3].remove.click()
    assert list(buttons(tool)) == [1, 2]
    assert strokes.selected_label == 1
    assert class_names(strokes) == {1: "background", 2: "object"}
    paint(strokes, 3, 5)
    counted(qtbot, classes.counts)
    assert buttons(tool)[3] == ("", False, "1 stroke")
    classes.remove_class(3)
    assert 3 in buttons(tool), "what is painted stays"


def test_counts_follow_painting_and_undo(qtbot, tool, strokes):
    counts = tool.strokes.classes.counts
    assert counted(qtbot, counts) == {}
    paint(strokes, 1, 3)
    paint(strokes, 1, 9)
    paint(strokes, 2, 20)
    assert counted(qtbot, counts) == {1: ClassCount(32, 2), 2: ClassCount(16, 1)}
    assert buttons(tool)[1][2] == "2 strokes"
    assert tool.strokes.classes._rows[1].count.toolTip() == "32 pixels"
    for _ in range(16):
        strokes.undo()
    assert counted(qtbot, counts) == {1: ClassCount(32, 2)}
    strokes.redo()
    assert counted(qtbot, counts)[2] == ClassCount(1, 1)
    strokes.data = np.full_like(strokes.data, 2)
    assert counted(qtbot, counts) == {2: ClassCount(48 * 64, 1)}


def test_only_the_painted_planes_are_counted_again(qtbot, monkeypatch):
    import napari_unetseg.gui.train.stroke_counts as module

    seen = []
    real = module.count_strokes

    def spy(plane):
        seen.append(plane.shape)
        return real(plane)

    monkeypatch.setattr(module, "count_strokes", spy)
    layer = Labels(np.zeros((6, 20, 30), np.uint8))
    counts = StrokeCounts()
    counts.follow(layer)
    qtbot.waitUntil(lambda: len(seen) == 6)
    counted(qtbot, counts)
    seen.clear()
    layer.data_setitem((np.array([2, 4]), np.array([3, 3]), np.array([4, 4])), 5)
    assert counted(qtbot, counts) == {5: ClassCount(2, 2)}
    assert len(seen) == 2
    counts.follow(Labels(da.zeros((20, 30), dtype=np.uint8, chunks=10)))
    assert counted(qtbot, counts) == {}
    assert not counts.known, "labels on disk are not read for this"
    counts.follow(None)


def test_strokes_are_counted_as_training_takes_them():
    rng = np.random.default_rng(1)
    plane = rng.choice([0, 0, 0, 0, 1, 2, 7], (40, 60)).astype(np.int32)
    plane[10:14] = plane[:, 20:25] = 0
    expected = {
        value: ClassCount(
            int((plane == value).sum()), int(pieces(plane == value, np.ones((3, 3)))[1])
        )
        for value in (1, 2, 7)
    }
    assert count_strokes(plane) == expected
    assert count_strokes(np.zeros((5, 5), np.uint8)) == {}
    assert len(count_strokes(np.arange(900).reshape(30, 30))) == 64, "ids of objects"


def test_names_reach_the_model_and_the_project(qtbot, tool, viewer, strokes):
    tool.strokes.classes.rename_class(2, "  cell ")
    for row in (3, 9, 20):
        paint(strokes, 1, row)
        paint(strokes, 2, row, range(40, 60))
    tool.run()
    tool.strokes.classes.rename_class(2, "later")
    qtbot.waitUntil(lambda: not tool.running, timeout=120000)
    (model,) = Session.of(viewer).models
    assert model.classes == ("background", "cell"), "those of the start"
    contents = contents_of(viewer, Session.of(viewer), lambda key, version: False)
    layers, _ = layers_from_contents(contents)
    again = next(layer for layer in layers if layer.name == strokes.name)
    assert class_names(again) == {1: "background", 2: "later"}


def test_names_from_a_file_are_not_trusted():
    layer = Labels(np.zeros((4, 4), np.uint8))
    odd = {"1": "a" * 1000, "x": "b", "-2": "c", "999": "d", "3": ["e"]}
    layer.metadata = {METADATA_KEY: {CLASS_NAMES: odd}}
    assert class_names(layer) == {1: "a" * 60, 3: "['e']"}
    layer.metadata = {METADATA_KEY: {CLASS_NAMES: ["a"]}}
    assert class_names(layer) == {}
    set_class_names(layer, {2: " b ", 1: ""})
    assert class_names(layer) == {1: "", 2: "b"}


def test_layers_of_other_kinds_show_their_classes_or_none(qtbot, tool, viewer):
    mask = viewer.add_labels(np.eye(48, 64, dtype=np.uint8), name="mask", scale=(0.5, 0.5))
    assert tool.strokes.new_button.text() == "New"
    tool.kind.setCurrentIndex(tool.kind.findData("mask"))
    counted(qtbot, tool.strokes.classes.counts)
    assert list(buttons(tool)) == [1], "0 is the background of a mask"
    assert buttons(tool)[1][2] == "1.6 %", "nobody drew it by strokes"
    tool.kind.setCurrentIndex(tool.kind.findData("objects"))
    assert tool.strokes.classes.isHidden()
    tool.kind.setCurrentIndex(tool.kind.findData("scribbles"))
    assert list(buttons(tool)) == [1, 2]
    mask.data = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    counted(qtbot, tool.strokes.classes.counts)
    assert buttons(tool) == {}, "ids are no classes"
    assert "objects" in tool.strokes.classes.more.text()
    tool.kind.setCurrentIndex(tool.kind.findData("mask"))
    assert buttons(tool) == {}
    set_class_names(mask, {value: f"kind {value}" for value in range(1, 15)})
    tool.kind.setCurrentIndex(tool.kind.findData("scribbles"))
    assert len(buttons(tool)) == 12, "those with names are classes"


def test_a_single_object_is_a_mask_unless_a_person_says_otherwise(tool, viewer, cold):
    ids = np.zeros((48, 64), np.uint8)
    ids[5:9, 5:9], ids[20:30, 20:30] = 3, 9
    layer = viewer.add_labels(ids, scale=(0.5, 0.5), metadata={"labels_are": "objects"})
    tool.labels.pick(layer)
    assert tool.kind.currentData() == "objects"
    layer.data = np.where(ids == 3, 0, ids)
    tool.show()
    assert tool.kind.currentData() == "mask", "the others were deleted in Correct"
    tool.hide()
    tool.kind.setCurrentIndex(tool.kind.findData("objects"))
    tool.show()
    assert tool.kind.currentData() == "objects"


@pytest.mark.parametrize("kind", ["scribbles", "mask", "objects"])
def test_four_buttons_are_at_sight_whatever_the_labels_are(qtbot, tool, viewer, kind, cold):
    tool.show()
    tool.strokes.new_layer()
    viewer.add_labels(np.eye(48, 64, dtype=np.uint8), name="mask", scale=(0.5, 0.5))
    for layer in viewer.layers[1:]:
        tool.labels.pick(layer)
        tool.kind.setCurrentIndex(tool.kind.findData(kind))
        counted(qtbot, tool.strokes.classes.counts)
        shown = [one.text() for one in tool.findChildren(QPushButton) if one.isVisible()]
        assert len(shown) <= 4, shown


def test_objects_learnt_as_a_mask_are_one_class_and_have_no_rows(qtbot, tool, viewer):
    ids = np.zeros((48, 64), np.uint8)
    ids[5:9, 5:9], ids[20:30, 20:30] = 3, 9
    layer = viewer.add_labels(ids, scale=(0.5, 0.5), metadata={"labels_are": "objects"})
    tool.labels.pick(layer)
    tool.kind.setCurrentIndex(tool.kind.findData("mask"))
    assert tool.strokes.classes.isHidden()
    pair, _ = lesson_of(tool.pick.layer(), layer, "mask", None)
    assert np.unique(pair.labels).tolist() == [0, 1]


def test_the_layer_goes_while_its_strokes_are_counted(qtbot, tool, viewer, strokes):
    paint(strokes, 1, 3)
    viewer.layers.remove(strokes)
    counted(qtbot, tool.strokes.classes.counts)
    assert buttons(tool) == {}
    assert tool.strokes.classes.isHidden()
    assert tool.strokes.names() == {}
    tool.strokes.classes.add_class()
    tool.strokes.classes.remove_class(1)
    tool.strokes.new_button.click()
    assert (viewer.layers["halves strokes"].data == 0).all(), "a new one"


def test_new_strokes_take_back_what_was_wrong_with_the_old_ones(qtbot, tool, strokes):
    paint(strokes, 1, 3)
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    assert "Only one class is annotated" in tool.message.text()
    paint(strokes, 2, 3, range(40, 60))
    counted(qtbot, tool.strokes.classes.counts)
    assert tool.message.text() == ""


def test_two_strokes_a_class_give_no_score(qtbot, tool, viewer, strokes):
    for row in (3, 20):
        for across in range(row, row + 8):
            paint(strokes, 1, across)
            paint(strokes, 2, across, range(40, 60))
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=120000)
    said = tool.message.text()
    assert "Too little was held out for a score" in said
    assert "2 strokes" in said
    assert "1.000" not in said


def test_enter_in_a_number_does_not_begin_a_training(qtbot, tool, strokes, monkeypatch):
    begun = []
    tool.run_button.clicked.connect(lambda: begun.append("clicked"))
    tool.rung.setCurrentIndex(tool.rung.findData("unet"))
    tool.show()
    number = tool.form.widget("budget").native
    number.setFocus()
    monkeypatch.setattr(tool, "focusWidget", lambda: number)
    QTest.keyClick(number, Qt.Key.Key_Return)
    assert not begun
    assert not tool.running
    QTest.keyClick(number, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert "clicked" in begun
    tool.cancel()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)


@pytest.mark.parametrize(("part", "kind"), [("objects", "objects"), ("classes", "mask")])
def test_the_truth_of_a_sample_is_no_strokes(tool, viewer, part, kind):
    from napari_unetseg.gui.workbench.sample_data import nuclei_layers

    for data, attributes, made in nuclei_layers():
        if part in attributes["name"] and made == "labels":
            tool.labels.pick(viewer.add_labels(data, **attributes))
    assert tool.kind.currentData() == kind


def test_a_model_is_kept_when_its_image_goes(qtbot, tool, viewer, strokes):
    for row in (3, 20):
        paint(strokes, 1, row)
        paint(strokes, 2, row, range(40, 60))
    tool.run()
    viewer.layers.clear()
    qtbot.waitUntil(lambda: not tool.running, timeout=120000)
    assert [model.spec.kind for model in Session.of(viewer).models] == [LogisticSpec().kind]


def test_few_options_of_a_network_show_at_first():
    shown = [n for n, field in TrainOptions.model_fields.items() if not _rare(field)]
    assert shown == ["until", "budget", "epochs"] + [n for n in ("objects", "maps") if n in shown]


def _rare(field):
    return bool((field.json_schema_extra or {}).get("advanced"))


def test_an_old_reason_is_not_shown_while_the_model_is_fitted(qtbot, tool, strokes):
    def settled():
        qtbot.waitUntil(lambda: not tool.live_row.live.busy, timeout=120000)

    tool.show()
    tool.live.setChecked(True)
    paint(strokes, 1, 3)
    settled()
    assert "Only one class is annotated" in tool.message.text()
    assert tool.live_row.bar.isHidden()
    seen = []
    tool.live_row.live.started.connect(
        lambda: seen.append((tool.message.text(), tool.live_row.bar.isHidden()))
    )
    strokes.data_setitem((np.array([3, 4]), np.array([50, 50])), 2)
    settled()
    assert seen[0][0].startswith("Live: fitting the model")
    assert not seen[0][1], "a bar shows that it works"
    assert tool.live_row.bar.isHidden()
    kept = tool.message.text()
    assert kept.startswith("Live: keep painting")
    seen.clear()
    paint(strokes, 1, 9)
    settled()
    assert set(seen) == {(kept, True)}, "with a prediction in sight, strokes are quick"
    tool.live.setChecked(False)
    assert tool.message.text() == ""


def test_one_layer_of_strokes_is_enough(tool, viewer):
    other = viewer.add_labels(np.zeros((48, 64), np.uint8), name="mask", scale=(0.5, 0.5))
    tool.strokes.new_layer()
    assert tool.strokes.new_button.isHidden(), "its classes have buttons"
    tool.labels.pick(other)
    assert not tool.strokes.new_button.isHidden()
