"""Find all like this, and carry through planes, on the Correct page with a bare viewer model."""

import threading
from functools import partial

import numpy as np
import pytest
from qtpy.QtCore import Qt
from scipy import ndimage

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.prompts.find_similar import SimilarObject
from napari_unetseg.core.prompts.prompt import ProposedObject, settled
from napari_unetseg.gui.correct import carry_object, find_similar_panel
from napari_unetseg.gui.correct.correct_tools import TOOLS
from napari_unetseg.gui.queue.queue_dock import QueueWidget
from napari_unetseg.gui.queue.queue_store import queue_of
from napari_unetseg.gui.shared.layers import MASK, choose_axes, marked
from napari_unetseg.gui.shared.preview import is_preview
from napari_unetseg.gui.shared.stroke_layer import add_object_layer
from napari_unetseg.gui.shared.undone_message import UNDONE
from napari_unetseg.gui.train.finished_regions import chosen_region
from napari_unetseg.gui.train.train_dock import TrainWidget

CENTRES = [(20, 20), (20, 60), (60, 20), (60, 60)]


def discs():
    """Return four discs."""
    y, x = np.mgrid[:80, :80]
    ids = np.zeros((80, 80), np.int32)
    for number, (row, column) in enumerate(CENTRES, 1):
        ids[(y - row) ** 2 + (x - column) ** 2 <= 81] = number
    return ids


def cut(number):
    """Return one disc as a proposed object."""
    mask = discs() == number
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    return ProposedObject(mask[box], (box[0].start, box[1].start), 1.0)


@pytest.fixture
def asked(monkeypatch):
    """Replace the search by one that knows the discs, and return what it was asked."""
    seen = []

    def find(plane, kept, *, taken=None, segmenter=None, progress=None):
        seen.append((plane, kept, taken))
        progress(0.5, "looking")
        likeness = {2: 0.9, 3: 0.7, 4: 0.3}
        return [SimilarObject(cut(number), alike) for number, alike in likeness.items()]

    monkeypatch.setattr(find_similar_panel, "find_similar", find)
    return seen


@pytest.fixture
def layer(qtbot, viewer, tool):
    """One disc, kept by hand, over an image of four."""
    viewer.add_image((discs() > 0).astype(np.float32), name="discs")
    made = viewer.add_labels(np.zeros((80, 80), np.int32), name="objects")
    qtbot.waitUntil(lambda: not tool.running and tool.labels_layer is made)
    where = np.nonzero(discs() == 1)
    tool.session.locks(made).correct(where, np.ones(len(where[0]), np.int32))
    return made


def search(qtbot, tool):
    """Press the button and wait for the proposals."""
    tool.similar.search()
    qtbot.waitUntil(lambda: not tool.running)


def ids(layer):
    return np.setdiff1d(layer.data, 0).tolist()


def test_proposals_are_shown_over_the_labels_and_filtered_by_the_slider(
    qtbot, viewer, tool, layer, asked
):
    search(qtbot, tool)
    (plane, kept, taken) = asked[0]
    assert plane.axes == "YX"
    assert kept[0].area == (discs() == 1).sum()
    assert taken((slice(0, 80), slice(0, 80))).sum() == kept[0].area
    overlay = [one for one in viewer.layers if one.name == "proposals"]
    assert len(overlay) == 1
    assert is_preview(overlay[0])
    assert ids(layer) == [1]
    assert tool.similar.count.text() == "2 of 3 shown"
    tool.similar.slider.setValue(80)
    assert tool.similar.count.text() == "1 of 3 shown"
    tool.similar.slider.setValue(0)
    assert len(tool.similar.shown()) == 3
    tool.similar.discard()
    assert not [one for one in viewer.layers if one.name == "proposals"]
    assert ids(layer) == [1]


def test_accepted_proposals_are_locked_and_one_undo_takes_them_back(
    qtbot, viewer, tool, layer, asked
):
    search(qtbot, tool)
    overlay = next(one for one in viewer.layers if one.name == "proposals")
    tool.similar.accept()
    assert ids(layer) == [1, 2, 3]
    assert not overlay.data[layer.data > 0].any()
    assert overlay.data[60, 60] > 0
    locked = tool.session.locks(layer).pixels().array()
    np.testing.assert_array_equal(locked, layer.data > 0)
    assert [one.likeness for one in tool.similar.shown()] == []
    assert tool.message.text().endswith("Proposals left: 1.")
    layer.undo()
    assert tool.message.text() == UNDONE
    assert ids(layer) == [1]
    assert len(tool.similar.shown()) == 2
    qtbot.waitUntil(lambda: overlay.data[20, 60] > 0)


def test_only_those_in_view_are_accepted(qtbot, tool, layer, asked, monkeypatch):
    search(qtbot, tool)
    monkeypatch.setattr(find_similar_panel, "in_view", lambda layer: (slice(0, 40), slice(0, 80)))
    tool.similar.accept(in_sight=True)
    assert (layer.data[20, 60], layer.data[60, 20]) == (2, 0)


def test_what_was_drawn_meanwhile_stays(qtbot, tool, layer, asked):
    search(qtbot, tool)
    layer.data_setitem((np.array([60]), np.array([12])), 9)
    tool.similar.accept()
    assert layer.data[60, 12] == 9
    assert layer.data[60, 20] == 11
    layer.data_setitem(np.nonzero(discs() == 3), 9)
    tool.similar.slider.setValue(0)
    tool.similar.accept()
    assert (layer.data[discs() == 3] == 9).all()
    assert layer.data[60, 60] == 11


def test_one_by_one_goes_through_the_queue_unlocked(qtbot, tool, layer, asked):
    pages = []
    tool.session.page_wanted.connect(pages.append)
    search(qtbot, tool)
    tool.similar.slider.setValue(0)
    tool.similar.review()
    assert ids(layer) == [1, 2, 3, 4]
    assert not tool.session.locks(layer).pixels().array()[discs() > 1].any()
    queue = queue_of(layer, "unsure first")
    assert [item.number for item in queue.items] == [4, 3, 2]
    assert queue.items[0].why == "likeness 0.30"
    assert pages == ["Queue"]
    assert layer.data[queue.items[0].box].max() == 4


def test_without_a_kept_object_or_an_image_a_sentence_says_so(qtbot, viewer, tool, asked):
    labels = viewer.add_labels(np.zeros((80, 80), np.int32))
    qtbot.waitUntil(lambda: not tool.running and tool.labels_layer is labels)
    tool.similar.search()
    assert "no image" in tool.message.text()
    viewer.add_image(np.zeros((80, 80), np.float32))
    tool.pick.pick(labels)
    qtbot.waitUntil(lambda: not tool.running)
    search(qtbot, tool)
    assert "Nothing is kept" in tool.message.text()
    assert not asked


def test_a_cancelled_search_and_another_layer_leave_nothing(qtbot, viewer, tool, layer, asked):
    tool.similar.search()
    tool.cancel()
    qtbot.waitUntil(lambda: not tool.running)
    assert tool.similar.shown() == []
    search(qtbot, tool)
    other = viewer.add_labels(np.zeros((80, 80), np.int32))
    assert tool.labels_layer is other
    assert not [one for one in viewer.layers if one.name == "proposals"]
    tool.similar.accept()
    assert ids(other) == []


def test_proposals_go_with_the_plane_that_they_are_for(qtbot, tool, layer, asked):
    search(qtbot, tool)
    layer.data = np.zeros((30, 30), np.int32)
    tool.similar.accept()
    qtbot.waitUntil(lambda: not tool.similar.has_proposals)
    assert not layer.data.any()


def test_classes_are_no_objects_to_find_or_carry(viewer, tool, layer, asked):
    layer.metadata.update(marked(MASK, viewer.layers["discs"], {}))
    for button in (tool.similar.search, tool.carry_panel.carry):
        button()
        assert not tool.running
        assert "These are classes" in tool.message.text()


def test_nothing_is_written_to_hidden_labels(qtbot, tool, layer, asked):
    search(qtbot, tool)
    layer.visible = False
    for button in (tool.similar.accept, tool.similar.review, tool.similar.search):
        tool.say("")
        button()
        assert "is hidden" in tool.message.text()
    tool.carry_panel.carry()
    assert "is hidden" in tool.message.text()
    assert not tool.running
    assert ids(layer) == [1]
    layer.visible = True
    tool.similar.accept()
    assert ids(layer) == [1, 2, 3]


def test_proposals_belong_to_their_plane(qtbot, viewer, tool, asked):
    viewer.add_image(np.stack([discs()] * 3).astype(np.float32), axis_labels=("z", "y", "x"))
    labels = viewer.add_labels(np.zeros((3, 80, 80), np.int32), axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: not tool.running and tool.labels_layer is labels)
    where = np.nonzero(discs() == 1)
    tool.session.locks(labels).correct(
        (np.ones(len(where[0]), int), *where), np.ones(len(where[0]), np.int32)
    )
    search(qtbot, tool)
    overlay = next(one for one in viewer.layers if one.name == "proposals")
    viewer.dims.set_current_step(0, 2)
    qtbot.waitUntil(lambda: not overlay.visible)
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: overlay.visible)
    tool.similar.accept()
    assert [len(np.unique(plane)) - 1 for plane in labels.data] == [0, 3, 0]


def test_proposals_are_hidden_with_the_page_and_come_back(qtbot, viewer, tool, layer, asked):
    search(qtbot, tool)
    tool.hide()
    assert not [one for one in viewer.layers if one.name == "proposals"]
    tool.show()
    qtbot.waitUntil(lambda: any(one.name == "proposals" for one in viewer.layers))
    assert len(tool.similar.shown()) == 2


def test_train_on_these_marks_what_is_in_view(qtbot, viewer, tool, layer, monkeypatch):
    seen = []
    monkeypatch.setattr(find_similar_panel, "open_train", lambda *given: seen.append(given) or True)
    tool.similar.train()
    _, image, labels, region = seen[0]
    assert (image.name, labels) == ("discs", layer)
    assert region in viewer.layers
    assert region.shape_type == ["rectangle"]


class Pages:
    """A workbench of one page."""

    def __init__(self, page):
        self.page, self.opened = page, []

    def open_tool(self, title):
        """Record the title of the page that is wanted."""
        self.opened.append(title)

    def tool(self, number):
        """Return the page."""
        return self.page


def test_train_opens_with_the_objects_and_the_region(qtbot, viewer, tool, layer):
    page = TrainWidget(viewer)
    qtbot.addWidget(page)
    pages = tool.session.workbench = Pages(page)
    tool.similar.train()
    assert pages.opened == ["Train"]
    assert (page.pick.layer().name, page.labels.layer()) == ("discs", layer)
    assert (page.kind.currentData(), page.rung.currentData()) == ("objects", "unet")
    region = chosen_region(page.region.layer(), layer, page.pick.layer(), (80, 80))
    assert region.mean() > 0.9
    page.close_tool()


def test_the_queue_page_takes_up_what_is_sent_to_it(qtbot, viewer, tool, layer, asked):
    page = QueueWidget(viewer)
    qtbot.addWidget(page)
    page.show()
    qtbot.waitUntil(page.isVisible)
    page.hide()
    search(qtbot, tool)
    tool.similar.review()
    page.pick.pick(layer)
    page.show()
    qtbot.waitUntil(page.isVisible)
    assert [item.number for item in page.review.queue.items] == [3, 2]
    page.press("accept")
    assert tool.session.locks(layer).pixels().array()[60, 20]
    page.close_tool()


class Bright:
    """Proposes the bright pixels of a plane."""

    def __init__(self, image):
        self.mask = np.asarray(image.data) > 50

    def propose(self, prompt, *, taken=None, **_):
        """Return them, if there are any."""
        return settled(self.mask.astype(np.float32), (0, 0), prompt, taken, 0.9)


@pytest.fixture
def stack(qtbot, viewer, tool, monkeypatch):
    """A cylinder from plane 2 to 7 of 10, outlined in plane 4 and kept."""
    ids = np.zeros((10, 80, 80), np.int32)
    ids[2:8] = discs() == 1
    viewer.add_image(ids * 100.0, name="stack", axis_labels=("z", "y", "x"))
    labels = viewer.add_labels(np.zeros_like(ids), name="objects", axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(0, 4)
    qtbot.waitUntil(lambda: not tool.running and tool.labels_layer is labels)
    where = np.nonzero(discs() == 1)
    tool.session.locks(labels).correct(
        (np.full(len(where[0]), 4), *where), np.ones(len(where[0]), np.int32)
    )
    labels.selected_label = 1
    quick = partial(carry_object.carry_planes, open_plane=Bright)
    monkeypatch.setattr(carry_object, "carry_planes", quick)
    return ids, labels


def test_an_object_is_carried_to_its_ends_as_one_step(qtbot, tool, stack):
    ids, labels = stack
    tool.more.unfold()
    assert tool.carry_panel.isVisibleTo(tool)
    tool.carry_panel.carry()
    qtbot.waitUntil(lambda: not tool.running)
    found = np.flatnonzero(labels.data.any((1, 2)))
    assert (found.min(), found.max()) == (2, 7)
    assert ((labels.data > 0) & (ids > 0)).sum() > 0.85 * (ids > 0).sum()
    assert "before plane 8" in tool.message.text()
    assert tool.session.locks(labels).pixels().array()[3].any()
    labels.undo()
    assert np.flatnonzero(labels.data.any((1, 2))).tolist() == [4]


def test_nothing_is_offered_to_be_carried_through_time(qtbot, viewer, tool):
    series = viewer.add_image(np.zeros((5, 80, 80)), axis_labels=("t", "y", "x"))
    labels = add_object_layer(viewer, series)
    qtbot.waitUntil(lambda: not tool.running and tool.labels_layer is labels)
    tool.more.unfold()
    assert not tool.carry_panel.applies
    assert not tool.carry_panel.isVisibleTo(tool)
    choose_axes(series, "ZYX")
    assert tool.carry_panel.applies


def test_the_progress_of_carrying_never_falls(tool, stack, monkeypatch):
    works, fractions = [], []

    def report(fraction, message=""):
        fractions.append(fraction)

    report.show = lambda thing: None
    monkeypatch.setattr(tool, "begin", works.append)
    tool.carry_panel.carry()
    works[0](report)
    assert len(set(fractions)) > 4
    assert fractions == sorted(fractions)


def test_a_corrected_plane_is_gone_on_from_and_kept(qtbot, tool, viewer, stack):
    _, labels = stack
    tool.carry_panel.carry()
    qtbot.waitUntil(lambda: not tool.running)
    edited = labels.data[6].copy()
    edited[:20] = 0
    where = np.nonzero((labels.data[6] != 0) & (edited == 0))
    labels.data_setitem((np.full(len(where[0]), 6), *where), 0)
    tool.carry_panel.carry()
    qtbot.waitUntil(lambda: not tool.running)
    np.testing.assert_array_equal(labels.data[6], edited)


def test_what_was_carried_goes_where_it_ends_earlier_now(qtbot, tool, viewer, stack):
    _, labels = stack
    tool.carry_panel.carry()
    qtbot.waitUntil(lambda: not tool.running)
    # The image has the object no longer there.
    viewer.layers["stack"].data = np.where(np.arange(10)[:, None, None] > 5, 0, stack[0] * 100.0)
    tool.carry_panel.carry()
    qtbot.waitUntil(lambda: not tool.running)
    assert np.flatnonzero(labels.data.any((1, 2))).tolist() == [2, 3, 4, 5]
    assert not (labels.data[4] != (discs() == 1)).any()


@pytest.fixture
def gate(monkeypatch):
    """An event before which carrying does not go on from its first plane."""
    carry, gate = carry_object.carry_planes, threading.Event()

    def slow(*given, **options):
        planes = carry(*given, **options)
        yield next(planes)
        assert gate.wait(10)
        yield from planes

    monkeypatch.setattr(carry_object, "carry_planes", slow)
    return gate


def test_escape_cancels_the_carrying_and_then_leaves(qtbot, tool, stack, gate):
    _, labels = stack
    tool.click_objects()
    tool.carry_panel.carry()
    for _ in range(2):
        assert tool.clicks.layer is labels
        qtbot.keyClick(tool, Qt.Key.Key_Escape)
        assert "Cancelled" in tool.message.text() or tool.clicks.layer is None
        gate.set()
        qtbot.waitUntil(lambda: not tool.running)
    assert np.flatnonzero(labels.data.any((1, 2))).tolist() == [4]


def test_a_tool_that_waits_for_the_carrying_says_so(qtbot, tool, stack, gate):
    tool.carry_panel.carry()
    tool.press(TOOLS[0])
    assert "still running" in tool.message.text()
    assert tool.kind is None
    gate.set()
    qtbot.waitUntil(lambda: not tool.running)


def test_how_to_undo_names_the_layer_unless_it_is_selected(qtbot, tool, viewer, stack, gate):
    _, labels = stack
    tool.carry_panel.carry()
    viewer.layers.selection.active = viewer.layers["stack"]
    gate.set()
    qtbot.waitUntil(lambda: not tool.running)
    assert "to take it back, select 'objects' and press Ctrl+Z" in tool.message.text()
    viewer.layers.selection.active = labels
    tool.carry_panel.carry()
    qtbot.waitUntil(lambda: not tool.running)
    assert "; Ctrl+Z takes it back" in tool.message.text()


@pytest.mark.parametrize(
    "how", ["cancelled", "failed", "labels removed", "another shape", "closed"]
)
def test_nothing_is_left_on_screen_of_a_carrying_that_came_to_nothing(
    qtbot, tool, viewer, stack, monkeypatch, how
):
    _, labels = stack
    carry, gate = carry_object.carry_planes, threading.Event()

    def slow(*given, **options):
        planes = carry(*given, **options)
        yield next(planes)
        assert gate.wait(10)
        if how == "failed":
            raise InputError("too dark")
        yield from planes

    monkeypatch.setattr(carry_object, "carry_planes", slow)
    tool.carry_panel.carry()
    qtbot.waitUntil(lambda: any(is_preview(layer) for layer in viewer.layers))
    if how == "cancelled":
        tool.cancel()
    elif how == "labels removed":
        viewer.layers.remove(labels)
    elif how == "another shape":
        labels.data = np.zeros((3, 80, 80), np.int32)
    elif how == "closed":
        tool.close_tool()
    gate.set()
    qtbot.waitUntil(lambda: not tool.running)
    assert not any(is_preview(layer) for layer in viewer.layers)


def test_a_change_during_the_carrying_drops_it(qtbot, tool, stack, monkeypatch):
    _, labels = stack

    def carry(*given, **how):
        yield from ()

    monkeypatch.setattr(carry_object, "carry_planes", carry)
    tool.carry_panel.carry()
    labels.data_setitem((np.array([0]), np.array([0]), np.array([0])), 7)
    qtbot.waitUntil(lambda: not tool.running)
    assert "changed meanwhile" in tool.message.text()


def test_a_plane_without_the_object_is_refused(tool, viewer, stack):
    viewer.dims.set_current_step(0, 9)
    tool.carry_panel.carry()
    assert "Choose the object first" in tool.message.text()
    assert not tool.running
