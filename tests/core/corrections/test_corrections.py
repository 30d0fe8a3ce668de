"""Corrections: what each tool does to random objects in 2D and 3D, and what it leaves alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unetseg.core import corrections as fix
from napari_unetseg.core.corrections import every_object as many
from napari_unetseg.core.corrections import object_boxes as boxes_module
from napari_unetseg.core.corrections.change import Change, LabelsView
from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.corrections.whole_objects import along
from napari_unetseg.core.errors import InputError

SHAPES = {2: (40, 52), 3: (12, 22, 26)}
SEEDS = st.integers(0, 10_000)
NDIMS = st.sampled_from([2, 3])
QUICK = settings(max_examples=12)


def objects_of(seed, ndim, n=6, dtype=np.int32):
    """Random balls, some touching, some in parts, some with holes, one id far from the others."""
    rng = np.random.default_rng(seed)
    shape = SHAPES[ndim]
    labels = np.zeros(shape, dtype)
    grid = np.indices(shape)
    for number in rng.permutation(n) + 1:
        centre = rng.uniform(0, shape)[(...,) + (None,) * ndim]
        distance = np.sqrt(((grid - centre) ** 2).sum(0))
        ring = (distance < rng.uniform(2, 9)) & (distance > rng.choice([-1, 1.5]))
        labels[ring] = 100 if number == n else number
    return labels


def parts_of(labels):
    return fix.find_boxes(labels).parts(LabelsView.whole(labels.ndim))


def around(labels, box, by=3):
    """Which pixels are near a box: no tool may reach further."""
    near = np.zeros(labels.shape, bool)
    near[fix.change.padded(box, (by,) * labels.ndim, labels.shape)] = True
    return near


def partition(labels):
    """The objects without their ids."""
    ids, first = np.unique(labels, return_index=True)
    return {
        (int(at), (labels == number).tobytes())
        for number, at in zip(ids, first, strict=True)
        if number
    }


def applied(labels, change):
    after = labels.copy()
    change.apply(after)
    return after


def check(labels, change):
    """What is true of every change: sparse, exact, of different pixels, and taken back again."""
    places = np.ravel_multi_index(change.index, labels.shape)
    assert len(np.unique(places)) == len(places) == len(change)
    assert np.array_equal(labels[change.index], change.before)
    assert (change.before != change.after).all()
    assert change.after.dtype == labels.dtype
    after = applied(labels, change)
    assert np.array_equal(applied(after, change.inverse), labels)
    return after


TOOLS = {
    "grow": lambda labels, box, number: fix.grow(labels, box, number, 2),
    "shrink": lambda labels, box, number: fix.shrink(labels, box, number, 1),
    "smooth": lambda labels, box, number: fix.smooth(labels, box, number, 3),
    "fill holes": fix.fill_holes,
    "separate": lambda labels, box, number: fix.separate(labels, box, number, first=200),
    "delete": lambda labels, box, number: fix.delete(labels, {number: box}),
    "approve": lambda labels, box, number: fix.approve(labels, {number: box}),
    "seeds": lambda labels, box, number: fix.split_by_seeds(
        labels, box, number, np.argwhere(labels == number)[[0, -1]], first=200
    ),
    "line": lambda labels, box, number: fix.split_by_line(
        labels,
        box,
        number,
        [[box[-2].start - 1, box[-1].start - 1], [box[-2].stop, box[-1].stop]],
        first=200,
    ),
    "interpolate": lambda labels, box, number: fix.interpolate(labels, box, number),
    "copy": lambda labels, box, number: fix.copy_to_plane(
        labels, box, number, source=box[0].start, target=box[0].stop
    ),
}


@pytest.mark.parametrize("name", TOOLS)
@QUICK
@given(seed=SEEDS, ndim=NDIMS)
def test_a_tool_changes_its_object_and_background_beside_it(name, seed, ndim):
    labels = objects_of(seed, ndim)
    for number, box in parts_of(labels).items():
        roomy = fix.change.padded(box, (2,) * ndim, labels.shape)
        try:
            change = TOOLS[name](labels, box, number)
            assert np.array_equal(
                applied(labels, TOOLS[name](labels, roomy, number)), applied(labels, change)
            ) or name in ("line", "copy", "seeds")
        except InputError:
            continue
        after = check(labels, change)
        touched = labels != after
        assert set(np.unique(labels[touched])) <= {0, number}
        assert not (touched & ~around(labels, box)).any()
        others = (labels != 0) & (labels != number)
        assert np.array_equal(after[others], labels[others])
        if name != "copy":
            assert set(change.objects) <= {number}


@QUICK
@given(SEEDS, NDIMS)
def test_split_along_the_old_border_gives_merged_objects_back(seed, ndim):
    rng = np.random.default_rng(seed)
    shape = SHAPES[ndim]
    whole = np.zeros(shape, np.int32)
    whole[tuple(slice(2, n - 2) for n in shape)] = 1
    # A straight border from one side of the object to the other.
    line = np.array(
        [[0, rng.uniform(6, shape[-1] - 6)], [shape[-2] - 1, rng.uniform(6, shape[-1] - 6)]]
    )
    change = fix.split_by_line(whole, parts_of(whole)[1], 1, line, first=2)
    halves = check(whole, change)
    assert len(partition(halves)) == 2
    merged = check(halves, fix.merge(halves, parts_of(halves)))
    assert len(partition(merged)) == 1
    again = applied(
        merged,
        fix.split_by_line(
            merged, parts_of(merged)[int(merged.max())], int(merged.max()), line, first=9
        ),
    )
    assert partition(again) == partition(halves)
    # Every plane is cut alike, and both sides lie on either side of the line.
    y, x = np.indices(shape[-2:])
    side = x - np.interp(y, line[:, 0], line[:, 1])
    flat = halves[shape[0] // 2] if ndim == 3 else halves
    for sign in (side > 1.5, side < -1.5):
        assert len(np.unique(flat[sign & (flat > 0)])) == 1


def test_a_line_that_ends_within_the_object_is_refused():
    labels = np.zeros((20, 20), np.int32)
    labels[3:17, 3:17] = 1
    box = parts_of(labels)[1]
    for line in ([[0, 10], [10, 10]], [[5, 5], [5, 12]], [[0, 0], [0, 19]], [[-9, -9], [-3, -3]]):
        with pytest.raises(InputError, match="across"):
            fix.split_by_line(labels, box, 1, line, first=2)


def test_crumbs_beside_the_line_become_no_objects():
    rng = np.random.default_rng(0)
    y, x = np.indices((60, 60))
    labels = (np.hypot(y - 30, x - 30) + rng.uniform(-1.5, 1.5, (60, 60)) < 22).astype(np.int32)
    labels = applied(labels, fix.fill_holes(labels, parts_of(labels)[1], 1))
    pieces, _ = ndimage.label(labels, np.ones((3, 3)))
    labels[pieces != pieces[30, 30]] = 0
    box = parts_of(labels)[1]
    for angle in np.linspace(0, 3, 12):
        way = 40 * np.array([np.sin(angle), np.cos(angle)])
        line = [30 - way, 30 + way]
        after = applied(labels, fix.split_by_line(labels, box, 1, line, first=2))
        assert sorted(np.unique(after)) == [0, 1, 2]


@QUICK
@given(SEEDS, NDIMS)
def test_seeds_get_a_piece_each(seed, ndim):
    labels = objects_of(seed, ndim)
    rng = np.random.default_rng(seed)
    for number, box in parts_of(labels).items():
        own, _ = ndimage.label(labels == number, np.ones((3,) * ndim))
        places = np.argwhere(own == 1)
        if len(places) < 8:
            continue
        seeds = places[rng.choice(len(places), 3, replace=False)]
        after = check(labels, fix.split_by_seeds(labels, box, number, seeds, first=300))
        got = after[tuple(seeds.T)]
        assert len(set(got)) == 3
        assert set(got) <= {number, 300, 301}
        assert number in after


@pytest.mark.parametrize("name", ["line", "seeds"])
def test_both_ways_to_split_leave_objects_in_one_piece(name):
    rng = np.random.default_rng(0)
    split = 0
    for _ in range(60):
        blobs, _ = ndimage.label(
            ndimage.gaussian_filter(rng.standard_normal((64, 64)), 3) > 0, np.ones((3, 3))
        )
        number = int(np.argmax(np.bincount(blobs[blobs > 0])))
        box = parts_of(blobs)[number]
        places = np.argwhere(blobs == number)
        ends = places[rng.choice(len(places), 2, replace=False)].astype(float)
        way = 20 * (ends[1] - ends[0])
        try:
            if name == "line":
                line = [ends[0] - way, ends[1] + way]
                change = fix.split_by_line(blobs, box, number, line, first=900)
            else:
                change = fix.split_by_seeds(blobs, box, number, ends, first=900)
        except InputError:
            continue
        after = applied(blobs, change)
        split += 1
        for one in {number, *range(900, int(after.max()) + 1)}:
            assert ndimage.label(after == one, np.ones((3, 3)))[1] == 1
    assert split > 40


@pytest.mark.parametrize("seeds", [[[20, 12], [22, 50]], [[9, 20], [20, 58]], [[20, 20], [31, 46]]])
def test_dumbbells_are_split_at_the_waist_wherever_the_seeds_are(seeds):
    y, x = np.indices((40, 70))
    labels = ((np.hypot(y - 20, x - 20) < 14) | (np.hypot(y - 20, x - 46) < 14)).astype(np.uint8)
    change = fix.split_by_seeds(labels, parts_of(labels)[1], 1, seeds, first=2)
    after = applied(labels, change)
    left, right = np.unique(after[20, 7:31]), np.unique(after[20, 36:59])
    assert len(left) == len(right) == 1
    assert left != right


def test_a_disc_is_shared_evenly():
    y, x = np.indices((40, 40))
    labels = (np.hypot(y - 20, x - 20) < 15).astype(np.int32)
    change = fix.split_by_seeds(labels, parts_of(labels)[1], 1, [[20, 12], [20, 28]], first=2)
    after = applied(labels, change)
    assert abs((after == 1).sum() - (after == 2).sum()) < 60
    assert after[20, 10] != after[20, 30]


@QUICK
@given(SEEDS, NDIMS)
def test_merged_objects_are_one_and_all_else_is_as_it_was(seed, ndim):
    labels = objects_of(seed, ndim)
    parts = parts_of(labels)
    some = dict(list(parts.items())[:3])
    if len(some) < 2:
        return
    after = check(labels, fix.merge(labels, some))
    expected = np.where(np.isin(labels, list(some)), next(iter(some)), labels)
    assert np.array_equal(after, expected)
    assert fix.merge(labels, some).objects == tuple(some)


def test_merging_takes_two():
    labels = objects_of(0, 2)
    with pytest.raises(InputError, match="another"):
        fix.merge(labels, dict(list(parts_of(labels).items())[:1]))


@QUICK
@given(SEEDS, NDIMS, st.integers(1, 3))
def test_growing_reaches_as_far_as_it_says(seed, ndim, by):
    labels = objects_of(seed, ndim)
    for number, box in parts_of(labels).items():
        distance = ndimage.distance_transform_edt(labels != number)
        try:
            after = applied(labels, fix.grow(labels, box, number, by))
        except InputError:
            assert not ((distance <= 1) & (labels == 0)).any()
            continue
        gained = (after == number) & (labels != number)
        assert (distance[gained] <= by).all()
        # A neighbour shades what is behind it; within a pixel nothing can be in between.
        assert (after[(distance <= 1) & (labels == 0)] == number).all()


@QUICK
@given(SEEDS, NDIMS, st.integers(1, 3))
def test_shrinking_takes_what_is_near_to_anything_else(seed, ndim, by):
    labels = objects_of(seed, ndim)
    for number, box in parts_of(labels).items():
        own = labels == number
        inner = ndimage.distance_transform_edt(own) > by
        try:
            after = applied(labels, fix.shrink(labels, box, number, by))
        except InputError:
            assert not inner.any()
            continue
        assert np.array_equal(after == number, inner)


def test_an_object_that_is_the_whole_image_does_not_shrink():
    labels = np.ones((9, 9), np.int32)
    with pytest.raises(InputError):
        fix.shrink(labels, parts_of(labels)[1], 1, 1)


def test_lengths_are_of_the_finest_axis():
    labels = np.zeros((9, 21, 21), np.int32)
    labels[4, 8:13, 8:13] = 1
    box = parts_of(labels)[1]
    after = applied(labels, fix.grow(labels, box, 1, 3, spacing=(4, 0.5, 0.5)))
    assert not after[[3, 5]].any()
    assert after[4, 5, 10] == after[4, 10, 15] == 1
    after = applied(labels, fix.grow(labels, box, 1, 3, spacing=(1, 0.5, 0.5)))
    assert after[3, 10, 10] == after[5, 10, 10] == 1
    assert not after[2].any()
    with pytest.raises(InputError, match="spacing"):
        fix.grow(labels, box, 1, 3, spacing=(1, 2))


def test_smoothing_takes_spurs_and_fills_dents():
    labels = np.zeros((60, 60), np.int32)
    labels[15:45, 15:45] = 1
    labels[30, 45:55] = 1
    labels[15:20, 30] = 0
    after = applied(labels, fix.smooth(labels, parts_of(labels)[1], 1, 4))
    assert not after[30, 48:].any()
    assert after[16:20, 30].all()
    assert after[17:43, 17:43].all()


def test_smoothing_keeps_touching_objects_in_touch():
    labels = np.zeros((40, 40), np.int32)
    labels[8:32, 5:20], labels[8:32, 20:35] = 1, 2
    for number in (1, 2):
        change = fix.smooth(labels, parts_of(labels)[number], number, 4)
        assert (applied(labels, change)[12:28, 19:21] > 0).all()


def test_what_smoothing_would_wipe_out_is_refused():
    labels = np.zeros((20, 20), np.int32)
    labels[10, 2:18] = 1
    with pytest.raises(InputError, match="Nothing would be left"):
        fix.smooth(labels, parts_of(labels)[1], 1, 5)
    assert not len(fix.smooth_every(labels, parts_of(labels), 5))


@QUICK
@given(SEEDS, NDIMS)
def test_filled_objects_have_no_holes(seed, ndim):
    labels = objects_of(seed, ndim)
    for number, box in parts_of(labels).items():
        own = labels == number
        full = ndimage.binary_fill_holes(own)
        try:
            after = applied(labels, fix.fill_holes(labels, box, number))
        except InputError:
            assert not (full & (labels == 0)).any()
            continue
        assert np.array_equal(after == number, own | (full & (labels == 0)))


@QUICK
@given(SEEDS, NDIMS)
def test_parts_become_objects(seed, ndim):
    labels = objects_of(seed, ndim)
    change = fix.separate_every(labels, parts_of(labels), first=500)
    after = check(labels, change)
    for number in np.setdiff1d(after, 0):
        assert ndimage.label(after == number, np.ones((3,) * ndim))[1] == 1
    assert np.array_equal(after > 0, labels > 0)
    for number in np.setdiff1d(labels, 0):
        pieces, n = ndimage.label(labels == number, np.ones((3,) * ndim))
        sizes = np.bincount(pieces.ravel())[1:]
        assert (after == number).sum() == sizes.max()
        assert len(np.unique(after[labels == number])) == n


@QUICK
@given(SEEDS, NDIMS)
def test_renumbered_ids_have_no_gaps_and_few_change(seed, ndim):
    labels = objects_of(seed, ndim)
    ids = np.setdiff1d(labels, 0)
    after = check(labels, fix.renumber(labels, parts_of(labels)))
    assert list(np.setdiff1d(after, 0)) == list(range(1, len(ids) + 1))
    assert partition(after) == partition(labels)
    low = (labels > 0) & (labels <= len(ids))
    assert np.array_equal(after[low], labels[low])


EVERY = {
    "grow": (lambda *a: fix.grow_every(*a, 2), lambda *a: fix.grow(*a, 2)),
    "shrink": (lambda *a: fix.shrink_every(*a, 1), lambda *a: fix.shrink(*a, 1)),
    "smooth": (lambda *a: fix.smooth_every(*a, 3), lambda *a: fix.smooth(*a, 3)),
    "fill": (fix.fill_every, fix.fill_holes),
}


@pytest.mark.parametrize("name", EVERY)
@QUICK
@given(seed=SEEDS, ndim=NDIMS)
def test_all_at_once_is_each_by_itself(name, seed, ndim):
    """Where no two want the same pixel; where they do, one of them gets it."""
    every, single = EVERY[name]
    labels = objects_of(seed, ndim)
    parts = parts_of(labels)
    after = check(labels, every(labels, parts))
    wanted, contested = np.zeros((2, *labels.shape), bool)
    wishes = {}
    for number, box in parts.items():
        try:
            change = single(labels, box, number)
        except InputError:
            continue
        alone = applied(labels, change)
        wishes[number] = alone != labels
        contested |= wanted & wishes[number]
        wanted |= wishes[number]
    assert np.array_equal(after != labels, wanted)
    for number, wish in wishes.items():
        mine = wish & ~contested
        alone = applied(labels, single(labels, parts[number], number))
        assert np.array_equal(after[mine], alone[mine])
    if name == "grow":
        distances = {number: ndimage.distance_transform_edt(labels != number) for number in wishes}
        for place in zip(*np.nonzero(contested), strict=True):
            takers = [(distances[k][place], k) for k, wish in wishes.items() if wish[place]]
            assert after[place] == min(takers)[1]


@QUICK
@given(SEEDS, NDIMS, st.integers(1, 300))
def test_small_ones_and_those_at_the_border(seed, ndim, size):
    labels = objects_of(seed, ndim)
    parts = parts_of(labels)
    small = fix.smaller_than(labels, parts, size)
    assert set(small) == {n for n in parts if (labels == n).sum() < size}
    edge = np.ones(labels.shape, bool)
    edge[(...,) + (slice(1, -1),) * 2] = False
    assert set(fix.at_border(labels, parts)) == set(np.setdiff1d(labels[edge], 0))
    edge = np.ones(labels.shape, bool)
    edge[(slice(1, -1),) * ndim] = False
    found = fix.at_border(labels, parts, axes=range(ndim))
    assert set(found) == set(np.setdiff1d(labels[edge], 0))
    after = check(labels, fix.delete(labels, found))
    assert not np.isin(after, list(found)).any()


def test_interpolating_between_equal_shapes_moves_the_shape():
    labels = np.zeros((7, 40, 60), np.uint16)
    y, x = np.indices((40, 60))
    shape = np.hypot(y - 12, x - 12) < 7
    shape[12, 12:24] = True
    labels[0][shape] = 3
    labels[6][np.roll(shape, (12, 24), (0, 1))] = 3
    after = applied(labels, fix.interpolate(labels, parts_of(labels)[3], 3))
    for z in range(7):
        assert np.array_equal(after[z] == 3, np.roll(shape, (2 * z, 4 * z), (0, 1)))


def test_interpolating_between_a_small_and_a_large_disc():
    labels = np.zeros((40, 50, 50), np.int32)
    y, x = np.indices((50, 50))
    radii = np.linspace(6, 20, 9)
    for z in (0, 8):
        labels[2 * z + 4][np.hypot(y - 25, x - 25) <= radii[z]] = 1
    labels[8, 25, 25] = 2
    after = applied(labels, fix.interpolate(labels, parts_of(labels)[1], 1))
    assert after[8, 25, 25] == 2
    areas = (after > 0).sum((1, 2))[4:21:2]
    assert np.allclose(np.sqrt(areas / np.pi), radii, atol=0.6)
    assert not after[:4].any()
    assert not after[21:].any()


def test_interpolating_along_another_axis_and_with_nothing_between():
    labels = np.zeros((20, 20, 9), np.int32)
    labels[5:12, 6:14, [1, 7]] = 4
    box = parts_of(labels)[4]
    after = applied(labels, fix.interpolate(labels, box, 4, axis=2))
    assert (after[5:12, 6:14, 1:8] == 4).all()
    assert (after > 0).sum() == 7 * 8 * 7
    with pytest.raises(InputError, match="no plane to fill"):
        fix.interpolate(after, box, 4, axis=2)


def test_copies_take_background_only():
    labels = np.zeros((4, 10, 10), np.int32)
    labels[1, 2:8, 2:8] = 5
    labels[2, 2:5, 2:8] = 6
    box = parts_of(labels)[5]
    after = check(labels, fix.copy_to_plane(labels, box, 5, source=1, target=2))
    assert (after[2, 2:5, 2:8] == 6).all()
    assert (after[2, 5:8, 2:8] == 5).all()
    for source, target, said in ((1, 4, "no further"), (1, -1, "no further"), (0, 1, "not on")):
        with pytest.raises(InputError, match=said):
            fix.copy_to_plane(labels, box, 5, source=source, target=target)


def test_outlines_become_objects_on_background():
    plane = np.zeros((40, 40), np.int32)
    plane[10:20, 10:20] = 1
    square = [[5, 5], [5, 25], [15, 25], [15, 5]]
    round_one = fix.ellipse_outline([[20, 20], [20, 36], [36, 36], [36, 20]])
    outside = [[-9, -9], [-9, -5], [-5, -5]]
    change = fix.draw_outlines(plane, [square, square, outside, round_one], first=7)
    after = check(plane, change)
    assert sorted(np.unique(after)) == [0, 1, 7, 9] or sorted(np.unique(after)) == [0, 1, 7, 8, 9]
    assert (after[10:16, 10:20] == 1).all()
    assert after[6, 6] == 7
    assert abs((after == after[28, 28]).sum() - np.pi * 64) < 25
    with pytest.raises(InputError, match="None of the shapes"):
        fix.draw_outlines(plane, [outside], first=7)


@QUICK
@given(SEEDS)
def test_strokes_never_step_diagonally(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-5, 40, (int(rng.integers(1, 6)), int(rng.integers(2, 4))))
    line = along(points)
    assert (np.abs(np.diff(line, axis=0)).sum(1) == 1).all()
    assert np.array_equal(line[0], np.rint(points[0]))
    assert np.array_equal(line[-1], np.rint(points[-1]))


def test_a_stroke_meets_objects_in_its_order():
    labels = np.zeros((20, 60), np.int32)
    labels[5:15, 30:40], labels[5:15, 5:20] = 2, 9
    assert fix.ids_along(labels, [[10, -5], [10, 80]]) == [9, 2]
    assert fix.ids_along(labels, [[10, 55], [10, 10], [10, 35]]) == [2, 9]
    assert fix.ids_along(labels, [[0, 0]]) == []


def test_ids_must_fit_the_type():
    labels = np.zeros((20, 20), np.uint8)
    labels[2:18, 2:18] = 255
    with pytest.raises(InputError, match="uint8"):
        fix.split_by_line(labels, parts_of(labels)[255], 255, [[0, 10], [19, 10]], first=256)


# Boxes


@QUICK
@given(SEEDS, NDIMS, st.booleans())
def test_boxes_are_where_the_objects_are(seed, ndim, compiled):
    labels = objects_of(seed, ndim, dtype=np.uint16)
    small = boxes_module._SMALL
    boxes_module._SMALL = 0 if compiled else small
    try:
        boxes = fix.find_boxes(labels)
    finally:
        boxes_module._SMALL = small
    assert list(boxes.ids()) == list(np.setdiff1d(labels, 0))
    assert len(boxes) == len(boxes.ids())
    assert boxes.largest() == labels.max()
    for number in boxes.ids().tolist():
        (exact,) = ndimage.find_objects((labels == number).astype(int))
        assert boxes.box(number) == exact
        assert boxes.size(number) == (labels == number).sum()
        assert number in boxes
    assert boxes.size(77) == 0
    assert not len(fix.find_boxes(np.zeros((3, 4), int)))


@QUICK
@given(SEEDS, NDIMS)
def test_boxes_follow_edits(seed, ndim):
    rng = np.random.default_rng(seed)
    labels = objects_of(seed, ndim)
    boxes = fix.find_boxes(labels)
    for _ in range(12):
        n = int(rng.integers(1, 60))
        flat = rng.choice(labels.size, n, replace=False)
        index = np.unravel_index(flat, labels.shape)
        after = rng.choice([0, 0, 1, 2, 100, int(rng.integers(1, 300))], n)
        after = after if rng.random() < 0.5 else int(after[0])
        boxes.update(index, labels[index], after)
        labels[index] = after
        fresh = fix.find_boxes(labels)
        assert np.array_equal(boxes.ids(), fresh.ids())
        for number in fresh.ids().tolist():
            assert boxes.size(number) == fresh.size(number)
            for roomy, exact in zip(boxes.box(number), fresh.box(number), strict=True):
                assert roomy.start <= exact.start
                assert roomy.stop >= exact.stop


@QUICK
@given(SEEDS)
def test_a_plane_is_corrected_through_its_frame(seed):
    labels = objects_of(seed, 3)
    frame = LabelsView((None, 7, None))
    view = frame.view(labels)
    assert np.shares_memory(view, labels)
    parts = fix.find_boxes(labels).parts(frame)
    assert set(np.setdiff1d(view, 0)) <= set(parts)
    change = frame.place(fix.delete(view, parts))
    after = check(labels, change)
    assert not after[:, 7].any()
    assert np.array_equal(np.delete(after, 7, 1), np.delete(labels, 7, 1))
    pixels = fix.collect_pixels(view, parts, frame, labels.shape)
    expected = np.zeros(labels.shape, bool)
    expected[:, 7] = view > 0
    assert np.array_equal(pixels.array(), expected)


def one_step(labels, boxes, ink, rng):
    """Do one random correction of everything or of one object, sparing what is inked."""
    frame = LabelsView.whole(labels.ndim)
    if rng.random() < 0.3 and labels.ndim == 3:
        frame = LabelsView((int(rng.integers(labels.shape[0])), None, None))
    view, parts = frame.view(labels), boxes.parts(frame)
    spared = set(np.unique(labels[ink.array()]).tolist())
    free = {number: box for number, box in parts.items() if number not in spared}
    first = boxes.largest() + 1
    if not free:
        return Change.joined([], labels)
    number = int(rng.choice(list(free)))
    one = {number: free[number]}
    box = free[number]
    ends = [box[-2].start - 1, box[-1].start - 1], [box[-2].stop, box[-1].stop]
    seeds = np.argwhere(view == number)[[0, -1]] if (view == number).any() else [[0] * view.ndim]
    acts = [
        lambda: fix.merge(view, dict(list(free.items())[:2])),
        lambda: fix.split_by_line(view, box, number, ends, first=first),
        lambda: fix.split_by_seeds(view, box, number, seeds, first=first),
        lambda: fix.delete(view, one),
        lambda: fix.delete(view, fix.smaller_than(view, free, 12)),
        lambda: fix.delete(view, fix.at_border(view, free)),
        lambda: fix.fill_every(view, free),
        lambda: fix.grow_every(view, free, 1),
        lambda: fix.shrink_every(view, free, 1),
        lambda: fix.smooth_every(view, one, 2),
        lambda: fix.separate_every(view, free, first=first),
    ]
    change = frame.place(acts[int(rng.integers(len(acts)))]())
    return change.where(~ink.at(change.index))


@pytest.mark.parametrize("ndim", [2, 3])
def test_random_sequences_keep_ink_and_can_be_undone(ndim):
    """A thousand corrections of small labels: boxes stay right, ink stays, undo is exact."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        labels = objects_of(seed, ndim)
        boxes, ink = fix.find_boxes(labels), PixelSet(labels.shape)
        kept = int(rng.choice(np.setdiff1d(labels, 0)))
        ink.add(tuple(slice(0, n) for n in labels.shape), labels == kept)
        first, done = labels.copy(), []
        for _ in range(10):
            try:
                change = one_step(labels, boxes, ink, rng)
            except InputError:
                continue
            boxes.update(change.index, change.before, change.after)
            change.apply(labels)
            done.append(change)
            assert np.array_equal(labels == kept, first == kept)
        assert np.array_equal(boxes.ids(), np.setdiff1d(labels, 0))
        for change in reversed(done):
            boxes.update(change.index, change.after, change.before)
            change.inverse.apply(labels)
        assert np.array_equal(labels, first)
        assert np.array_equal(boxes.ids(), np.setdiff1d(first, 0))


def test_cancelling_a_long_one():
    def stop(fraction, message=""):
        raise KeyboardInterrupt

    labels = objects_of(0, 2)
    with pytest.raises(KeyboardInterrupt):
        many.grow_every(labels, parts_of(labels), 1, progress=stop)
