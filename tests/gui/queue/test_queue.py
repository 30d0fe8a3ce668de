"""The Queue dock on a bare viewer model: verdicts, keys, undo, what is kept, and the count."""

import csv
from types import SimpleNamespace

import dask.array
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.review_queue import Queue
from napari_unetseg.core.threshold import ThresholdOptions
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.correct.correct_dock import LOCKED_KEY
from napari_unetseg.gui.correct.correct_tools import TOOLS
from napari_unetseg.gui.measure.measure_dock import MeasureWidget
from napari_unetseg.gui.project.autosave import Autosave
from napari_unetseg.gui.queue.queue_dock import QueueWidget
from napari_unetseg.gui.queue.queue_panel import KEYS
from napari_unetseg.gui.queue.queue_store import count_in, queue_of, revision_of
from napari_unetseg.gui.review.review_dock import NEXT_KEY
from napari_unetseg.gui.shared.layers import OBJECTS, UNCERTAINTY, new_labels, role_of
from napari_unetseg.gui.shared.preview import is_preview
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.training_layers import PREDICTED_OBJECTS
from napari_unetseg.gui.workbench.workbench_dock import WorkbenchWidget


@pytest.fixture
def tool(open_page, viewer):
    return open_page(QueueWidget(viewer))


def example(shape=(60, 80)):
    """Six squares of 8, a large one (id 9) and a small one (id 4)."""
    labels = np.zeros(shape, np.int32)
    for number, (y, x, side) in {
        1: (4, 4, 8),
        2: (4, 20, 8),
        3: (4, 36, 8),
        4: (4, 54, 3),
        5: (24, 4, 8),
        6: (24, 20, 8),
        9: (24, 36, 18),
    }.items():
        labels[..., y : y + side, x : x + side] = number
    return labels


@pytest.fixture
def layer(viewer, tool):
    return viewer.add_labels(example(), name="cells", scale=(0.5, 0.5), translate=(3, 4))


@pytest.fixture
def make(qtbot, tool):
    def run(**options):
        tool.form.set(**options)
        tool.run()
        qtbot.waitUntil(lambda: not tool.running, timeout=60000)
        return tool.review.queue

    return run


def press(layer, name):
    layer.keymap[coerce_keybinding(KEYS[name])](layer)


def inked(tool, layer):
    return tool.session.locks(layer).pixels().array()


def frame(viewer):
    found = [layer for layer in viewer.layers if layer.name == "reviewing"]
    assert all(is_preview(layer) for layer in found)
    return found[0] if found else None


def test_it_says_what_it_needs(tool, viewer):
    assert "no labels yet" in tool.message.text()
    assert not tool.run_button.isEnabled()
    assert not tool.panel.isVisible()


def test_without_a_model_it_is_honest(tool, layer, make):
    queue = make()
    assert "unusual size and shape only" in tool.message.text()
    assert queue.item.number == 9
    assert "object 9" in tool.panel.item.text()
    assert "0 of 7" in tool.panel.bar.text()
    assert len(queue) == 7


def test_objects_of_a_threshold_have_no_decoding(viewer, tool, make):
    image = viewer.add_image(example() > 0)
    options = ThresholdOptions(result="objects").model_dump()
    new_labels(viewer.layers, image, OBJECTS, example(), name="found", options=options)
    assert len(make()) == 7


def test_the_camera_goes_there_with_a_frame(tool, viewer, layer, make):
    queue = make(diversity=0.0)
    camera = getattr(viewer, "scene", viewer).camera
    for _ in range(3):
        item = tool.review.queue.item
        assert camera.center[-2:] == pytest.approx(tuple(layer.data_to_world(item.centre)))
        corners = np.concatenate(frame(viewer).data)
        assert corners.min(0) == pytest.approx(np.array(item.low) - 0.5, abs=0.3)
        assert corners.max(0) == pytest.approx(np.array(item.high) - 0.5, abs=0.3)
        assert np.array_equal(frame(viewer).scale, layer.scale)
        assert viewer.layers.selection.active is layer
        assert layer.selected_label == item.number
        tool.press("next")
    tool.press("previous")
    assert tool.review.queue.at == 2
    assert queue.at == 0
    tool.hide()
    assert frame(viewer) is None


def test_accepted_is_ink_and_one_step(qtbot, tool, layer, make):
    number = make().item.number
    before = layer.data.copy()
    press(layer, "accept")
    assert tool.review.queue.verdicts[0] == "accepted"
    assert tool.review.queue.at == 1
    assert np.array_equal(inked(tool, layer), before == number)
    assert np.array_equal(layer.data, before)
    assert len(layer._undo_history) == 1
    layer.undo()
    tool.review.look()
    assert tool.review.queue.verdicts[0] == ""
    assert tool.review.queue.at == 0
    assert "undone" in tool.message.text()
    assert not inked(tool, layer).any()
    layer.redo()
    tool.review.look()
    assert tool.review.queue.verdicts[0] == "accepted"
    assert inked(tool, layer).any()


def test_rejected_is_gone_for_good(tool, viewer, layer, make):
    number = make().item.number
    before = layer.data.copy()
    press(layer, "reject")
    assert tool.review.queue.verdicts[0] == "rejected"
    assert not (layer.data == number).any()
    assert np.array_equal(inked(tool, layer), before == number)
    assert len(layer._undo_history) == 1
    layer.undo()
    tool.review.look()
    assert np.array_equal(layer.data, before)
    assert tool.review.queue.verdicts[0] == ""
    layer.redo()
    tool.review.look()
    assert tool.review.queue.verdicts[0] == "rejected"


def test_a_run_does_not_bring_it_back_and_leaves_the_queue(tool, viewer, make):
    source = viewer.add_image(np.zeros((60, 80)))
    said = {"name": "objects", "options": {"model": "m"}, "objects": True}
    session = Session.of(viewer)
    layer, _ = session.show_labels(viewer.layers, source, PREDICTED_OBJECTS, example(), **said)
    tool.pick.pick(layer)
    number = make().item.number
    press(layer, "reject")
    kept, _ = session.show_labels(viewer.layers, source, PREDICTED_OBJECTS, example(), **said)
    assert kept is layer
    assert not (layer.data == number).any()
    assert queue_of(layer, "unsure first").verdicts[0] == "rejected"
    assert role_of(layer) == PREDICTED_OBJECTS


def test_what_is_changed_by_hand_is_fixed_until_undone(tool, layer, make):
    make(diversity=0.0)
    assert tool.review.queue.item.number == 9
    press(layer, "fix")
    assert not tool.review.queue.verdicts[0]
    layer.paint((33, 45), 0)
    tool.review.look()
    assert tool.review.queue.verdicts[0] == "fixed"
    layer.undo()
    tool.review.look()
    assert tool.review.queue.verdicts[0] == ""
    layer.redo()
    tool.review.look()
    press(layer, "next")
    press(layer, "previous")
    tool.review.look()
    assert tool.review.queue.verdicts[0] == "fixed"
    # What is changed elsewhere does not mend the item.
    tool.press("next")
    at = tool.review.queue.at
    layer.paint((58, 78), 7)
    tool.review.look()
    assert not tool.review.queue.verdicts[at]


def test_a_run_does_not_mend(tool, layer, make):
    make()
    where = np.nonzero(layer.data == tool.review.queue.item.number)
    tool.session.locks(layer).write(where, np.zeros(len(where[0]), np.int32))
    tool.review.look()
    assert tool.review.queue.verdicts[0] == ""
    press(layer, "accept")
    assert "no longer exists" in tool.message.text()
    press(layer, "reject")
    assert "no longer exists" in tool.message.text()


def test_a_sample_of_other_labels_is_judged_no_further(tool, layer, make):
    make(order="random sample", n=500)
    while tool.review.item.kind != "object":
        press(layer, "accept")
    at = tool.review.queue.at
    where = np.nonzero(layer.data)
    tool.session.locks(layer).write(where, layer.data[where] % 9 + 1)
    for verdict in ("accept", "reject"):
        press(layer, verdict)
        assert "Make the queue again" in tool.message.text()
    assert tool.review.queue.at == at
    assert not tool.review.queue.verdicts[at]


def test_progress_and_the_end(tool, layer, make):
    make()
    press(layer, "reject")
    assert "1 of the last 1 had to be changed" in tool.panel.outlook.text()
    assert "1 of 7" in tool.panel.bar.text()
    for _ in range(6):
        press(layer, "accept")
    assert "All items are judged" in tool.panel.outlook.text()
    assert "Every item has a verdict" in tool.message.text()
    assert "random sample" in tool.panel.count.text()


def test_it_says_when_little_is_to_be_gained(tool, viewer, make):
    labels = np.kron(np.arange(1, 37).reshape(6, 6), np.pad(np.ones((6, 6), int), 2))
    layer = viewer.add_labels(labels)
    make()
    for _ in range(19):
        press(layer, "accept")
        assert "You can stop" not in tool.panel.outlook.text()
    press(layer, "accept")
    assert "You can stop" in tool.panel.outlook.text()


def test_keys_are_free_and_given_back(qtbot, tool, layer, make):
    make()
    ours = {coerce_keybinding(key) for key in KEYS.values()}
    names = list(default_shortcuts)
    concerned = names[: names.index("napari:activate_points_add_mode")]
    taken = {key for name in concerned for key in default_shortcuts[name]}
    theirs = {coerce_keybinding(kind.key) for kind in TOOLS} | {coerce_keybinding(LOCKED_KEY)}
    assert not ours & (taken | theirs)
    assert coerce_keybinding(NEXT_KEY) == coerce_keybinding(KEYS["next"])
    assert set(layer.keymap) == ours
    assert "Backspace reject" in tool.panel.keys.text()
    tool.hide()
    assert not layer.keymap
    tool.show()
    qtbot.waitUntil(tool.isVisible)
    tool.close_tool()
    assert not layer.keymap


def test_fix_leads_to_the_tools_and_next_back(qtbot, viewer):
    bench = WorkbenchWidget(viewer)
    qtbot.addWidget(bench)
    layer = viewer.add_labels(example())
    bench.show()
    bench.open_tool("Queue")
    queue = next(tool for tool in bench.tools if tool.title == "Queue")
    qtbot.waitUntil(queue.isVisible)
    queue.run()
    qtbot.waitUntil(lambda: not queue.running, timeout=60000)
    press(layer, "fix")
    correct = next(tool for tool in bench.tools if tool.title == "Correct")
    assert correct.isVisible()
    flat = {coerce_keybinding(kind.key) for kind in TOOLS if not kind.planes}
    assert flat < set(layer.keymap)
    assert frame(viewer) is not None
    layer.paint(queue.review.item.low, 0)
    press(layer, "next")
    assert queue.isVisible()
    assert queue.review.queue.verdicts[0] == "fixed"
    assert queue.review.queue.at == 1
    bench.open_tool("Correct")
    assert coerce_keybinding(KEYS["accept"]) not in layer.keymap
    bench.close_tools()
    qtbot.waitUntil(lambda: not any(getattr(tool, "running", False) for tool in bench.tools))


@pytest.fixture(scope="module")
def nuclei():
    sample = samples.nuclei((96, 112), seed=2)
    lesson = TrainingPair(sample.as_image(), sample.mask.astype(np.uint8))
    model = train(LogisticSpec(), [lesson], TrainOptions(), name="m", labels_are="mask").model
    return SimpleNamespace(sample=sample, model=model)


@pytest.mark.parametrize("lazy", [False, True])
def test_uncertainty_is_a_layer_that_lies_over_the_labels(tool, viewer, make, nuclei, lazy):
    place = {"scale": (0.5, 0.5), "rotate": 30, "translate": (3, 4)}
    image = nuclei.sample.image
    data = dask.array.from_array(image, chunks=50) if lazy else image
    viewer.add_image(data, name="nuclei", **place)
    layer = viewer.add_labels(nuclei.sample.objects.astype(np.int32), **place)
    tool.session.add_model(nuclei.model)
    assert tool.models.currentData() is nuclei.model
    queue = make()
    (shown,) = (one for one in viewer.layers if role_of(one) == UNCERTAINTY)
    assert np.array_equal(shown.affine.affine_matrix, layer.affine.affine_matrix)
    assert np.array_equal(shown.rotate, layer.rotate)
    assert np.array_equal(shown.scale, layer.scale)
    assert shown.data.shape == layer.data.shape
    assert not shown.visible
    order = list(viewer.layers)
    assert order.index(shown) == order.index(layer) - 1
    assert any("decodings" in item.why for item in queue.items)
    make(by="margin")
    assert len([one for one in viewer.layers if role_of(one) == UNCERTAINTY]) == 1


def test_a_hidden_map_leaves_with_the_page_and_returns_with_it(qtbot, tool, viewer, make, nuclei):
    def maps():
        return [one for one in viewer.layers if role_of(one) == UNCERTAINTY]

    viewer.add_image(nuclei.sample.image)
    layer = viewer.add_labels(nuclei.sample.objects.astype(np.int32))
    tool.session.add_model(nuclei.model)
    make()
    (shown,) = maps()
    tool.hide()
    assert not maps()
    tool.show()
    assert maps() == [shown]
    assert viewer.layers.index(shown) == viewer.layers.index(layer) - 1
    assert viewer.layers.selection.active is layer
    # A run that ends while the page is hidden leaves neither a map nor a frame.
    tool.run()
    tool.hide()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    assert not maps()
    assert frame(viewer) is None
    tool.show()
    (shown,) = maps()
    shown.visible = True
    tool.hide()
    assert maps() == [shown]
    shown.visible = False
    tool.close_tool()
    assert not maps()


def test_images_of_another_size_are_refused(tool, viewer, make, nuclei):
    viewer.add_image(np.random.default_rng(0).random((50, 50)))
    viewer.add_labels(example())
    tool.session.add_model(nuclei.model)
    tool.run()
    assert make() is None
    assert "Choose the image of these labels" in tool.message.text()


def test_classes_go_by_windows(tool, viewer, make):
    classes = (example() > 0).astype(np.uint8)
    viewer.add_labels(np.roll(classes, 3, 0), name="other")
    layer = viewer.add_labels(classes, name="classes")
    tool.other.pick(viewer.layers["other"])
    queue = make(labels_are="classes")
    assert {item.kind for item in queue.items} == {"window"}
    assert not tool.panel.buttons["reject"].isEnabled()
    press(layer, "reject")
    assert "no object to delete" in tool.message.text()
    press(layer, "accept")
    assert inked(tool, layer)[queue.item.box].all()
    assert inked(tool, layer).sum() == np.prod([s.stop - s.start for s in queue.item.box])


@pytest.mark.parametrize("per", ["stack", "plane"])
def test_stacks(tool, viewer, make, per):
    labels = np.zeros((5, 60, 80), np.int32)
    labels[1:4] = example()
    layer = viewer.add_labels(labels, scale=(2, 0.5, 0.5))
    queue = make(per=per)
    assert len(queue) == (21 if per == "plane" else 7)
    item = queue.item
    assert layer.world_to_data(viewer.dims.point)[0] == pytest.approx(item.centre[0])
    press(layer, "reject")
    assert not (layer.data[item.box] == item.number).any()
    assert (layer.data == item.number).any() == (per == "plane")
    viewer.dims.order = (1, 0, 2)
    press(layer, "next")
    viewer.dims.ndisplay = 3
    press(layer, "accept")
    assert tool.review.queue.n_judged == 2


def test_labels_that_are_not_in_memory(tool, viewer, make):
    layer = viewer.add_labels(dask.array.from_array(example(), chunks=30))
    number = make().item.number
    press(layer, "reject")
    assert "not in memory" in tool.message.text()
    press(layer, "accept")
    assert np.array_equal(inked(tool, layer), example() == number)
    assert tool.review.queue.verdicts[0] == "accepted"


# The count


def judge_all(tool, layer, missed=0):
    while (item := tool.review.queue.item) and not tool.review.queue.verdict:
        if item.kind == "window" and missed:
            tool.panel.box.setValue(missed)
            missed = 0
        press(layer, "accept")


def test_the_count_comes_from_the_sample_alone(tool, layer, make):
    make()
    press(layer, "accept")
    assert "are not counted" in tool.panel.count.text()
    assert count_in(layer) is None
    make(order="random sample", n=500)
    assert "at least one reviewed object" in tool.panel.count.text()
    judge_all(tool, layer, missed=2)
    found = count_in(layer)
    assert found.sample.certain == 1
    assert found.count.low == found.count.high == 7 + 2
    assert "True count about 9 (9 to 9)" in tool.panel.count.text()


def test_objects_that_are_drawn_in_a_window_were_missed(tool, layer, make):
    make(order="random sample", n=500)
    while tool.review.item.kind != "window":
        press(layer, "accept")
    at, item = tool.review.queue.at, tool.review.item
    free = np.argwhere(layer.data[item.box] == 0)[0] + item.low
    layer.brush_size = 1
    layer.paint(tuple(free), 77)
    tool.review.look()
    assert tool.review.queue.worth[at] == 1
    assert tool.panel.box.value() == 1
    assert "1 missed" in tool.panel.buttons["accept"].text()
    layer.undo()
    tool.review.look()
    assert tool.review.queue.verdicts[at] == ""


def test_objects_that_are_drawn_before_their_window_comes_up_were_missed(tool, layer, make):
    make(order="random sample", n=500)
    for at in ((50, 8), (50, 70)):
        layer.brush_size = 3
        layer.paint(at, int(layer.data.max()) + 1)
    tool.review.look()
    judge_all(tool, layer)
    assert count_in(layer).count.low == count_in(layer).count.high == 7 + 2


def test_objects_that_are_drawn_after_their_window_was_judged_were_missed(tool, layer, make):
    make(order="random sample", n=500)
    judge_all(tool, layer)
    layer.brush_size = 3
    layer.paint((50, 8), 77)
    tool.review.look()
    assert count_in(layer).count.low == count_in(layer).count.high == 7 + 1
    layer.undo()
    tool.review.look()
    assert count_in(layer).count.low == count_in(layer).count.high == 7


def test_an_object_that_is_split_before_it_comes_up_stands_for_two(tool, layer, make):
    queue = make(order="random sample", n=500)
    number = next(item.number for item in queue.items[1:] if item.kind == "object")
    half = np.argwhere(layer.data == number)[::2].T
    tool.session.locks(layer).correct(tuple(half), np.full(half.shape[1], 77, np.int32))
    tool.review.look()
    judge_all(tool, layer)
    assert count_in(layer).count.estimate == 7 + 1


def test_what_is_split_or_merged_counts(tool, viewer, make):
    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5:15], labels[5:15, 15:25] = 1, 2
    layer = viewer.add_labels(labels)
    make(order="random sample", n=2000)
    while tool.review.item.kind != "object":
        press(layer, "accept")
    number = tool.review.item.number
    where = np.nonzero(layer.data == 3 - number)
    tool.session.locks(layer).correct(where, np.full(len(where[0]), number, np.int32))
    tool.review.look()
    queue = tool.review.queue
    rows = zip(queue.items, queue.verdicts, queue.worth, strict=True)
    judged = [(item.number, *row) for item, *row in rows if item.kind == "object"]
    assert sorted(judged) == sorted([(number, "fixed", 0.5), (3 - number, "gone", 0.5)])
    tool.press("next")
    judge_all(tool, layer)
    assert count_in(layer).count.estimate == pytest.approx(1)


def test_what_is_passed_over_stops_the_count(tool, layer, make):
    make(order="random sample", n=500)
    press(layer, "next")
    for _ in range(4):
        press(layer, "accept")
    assert "skipped" in tool.panel.count.text()
    assert count_in(layer) is None


def test_nobody_is_asked_twice(tool, layer, make):
    make(order="random sample", n=500)
    make(order="unsure first")
    item = tool.review.item
    press(layer, "accept")
    sample = queue_of(layer, "random sample")
    assert sample.verdicts[sample.place_of(item)] == "accepted"
    layer.undo()
    tool.review.look()
    sample = queue_of(layer, "random sample")
    assert sample.verdicts[sample.place_of(item)] == ""
    layer.redo()
    tool.review.look()
    sample = queue_of(layer, "random sample")
    assert sample.verdicts[sample.place_of(item)] == "accepted"
    tool.form.widget("order").value = "random sample"
    assert tool.review.queue.order == "random sample"
    assert tool.review.queue == sample


def test_the_count_is_in_the_table_and_the_file(qtbot, tool, viewer, layer, make, tmp_path):
    make(order="random sample", n=500)
    judge_all(tool, layer, missed=2)
    measure = MeasureWidget(viewer)
    qtbot.addWidget(measure)
    measure.run()
    qtbot.waitUntil(lambda: not measure.running, timeout=60000)
    assert "True count about 9 (9 to 9)" in measure.message.text()
    assert "true_count_low" in measure.found
    measure.save("table", tmp_path / "cells.csv")
    qtbot.waitUntil(lambda: measure._saving is None)
    with (tmp_path / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7
    assert {row["true_count"] for row in rows} == {"9.0"}
    assert "true_count" not in layer.features
    assert "true_count" not in [measure.colour.itemText(k) for k in range(measure.colour.count())]
    measure.close_tool()


# What is kept


def test_it_is_kept_in_the_project(qtbot, tool, viewer, layer, make, tmp_path):
    make(order="random sample", n=500)
    for _ in range(3):
        press(layer, "accept")
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p.unetseg")
    keeper.set_automatic(False)
    qtbot.waitUntil(lambda: not keeper.busy, timeout=30000)
    queue, revision = tool.review.queue, revision_of(layer)
    while tool.review.item.kind != "window":
        tool.press("next")
    tool.panel.box.setValue(3)
    assert revision_of(layer) > revision
    keeper.autosave()
    assert keeper.busy
    qtbot.waitUntil(lambda: not keeper.busy, timeout=30000)
    other = ViewerModel()
    opener = Autosave.of(other)
    opener.open(tmp_path / "p.unetseg")
    qtbot.waitUntil(lambda: not opener.busy, timeout=30000)
    opener.set_automatic(False)
    again = queue_of(other.layers["cells"], "random sample")
    assert again == tool.review.queue
    assert again.items == queue.items
    dock = QueueWidget(other)
    qtbot.addWidget(dock)
    dock.form.widget("order").value = "random sample"
    assert dock.review.queue == again
    assert dock.panel.bar.value() == 4
    dock.close_tool()


def test_a_spoilt_queue_is_none(layer):
    layer.metadata = {"napari-unetseg": {"review_queues": {"unsure first": {"items": 3}}}}
    assert queue_of(layer, "unsure first") is None
    layer.metadata = {"napari-unetseg": {"review_queues": "x"}}
    assert queue_of(layer, "unsure first") is None
    assert revision_of(layer) == 0


def test_cancel_and_a_layer_that_goes(qtbot, tool, viewer, layer, make):
    tool.run()
    tool.cancel()
    qtbot.waitUntil(lambda: not tool.running)
    assert tool.review.queue is None
    assert isinstance(make(), Queue)
    viewer.layers.remove(layer)
    assert tool.review is None
    assert not tool.panel.isVisible()
    tool.press("next")
