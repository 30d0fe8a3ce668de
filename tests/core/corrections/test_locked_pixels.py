"""Sets of pixels in blocks, and merging predictions around them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetseg.core.corrections.locked_pixels import (
    PixelSet,
    locked_ids,
    merge_classes,
    merge_objects,
)
from napari_unetseg.core.errors import InputError


@st.composite
def boxes(draw, shape):
    box = []
    for length in shape:
        first = draw(st.integers(0, length))
        box.append(slice(first, draw(st.integers(first, length))))
    return tuple(box)


@pytest.mark.parametrize("shape", [(300, 520), (20, 140, 130), (2, 3, 17, 40, 150), (5000,)])
@given(data=st.data())
def test_a_set_of_pixels_is_an_array_of_booleans(shape, data):
    plain, found = np.zeros(shape, bool), PixelSet(shape)
    rng = np.random.default_rng(0)
    for _ in range(data.draw(st.integers(1, 4))):
        box = data.draw(boxes(shape))
        mask = rng.random(plain[box].shape) < 0.5 if data.draw(st.booleans()) else None
        which = True if mask is None else mask
        if data.draw(st.integers(0, 2)):
            found.add(box, mask)
            plain[box] |= which
        else:
            found.discard(box, mask)
            plain[box] &= ~np.asarray(which)
    assert len(found) == plain.sum()
    assert bool(found) == plain.any()
    assert np.array_equal(found.array(), plain)
    box = data.draw(boxes(shape))
    assert np.array_equal(found.inside(box), plain[box])
    again = np.zeros(shape, bool)
    for place, mask in found.boxes():
        again[place] = mask
    assert np.array_equal(again, plain)


def test_single_pixels_copies_and_unions():
    rng = np.random.default_rng(0)
    places = tuple(rng.integers(0, n, 500) for n in (700, 900))
    one, plain = PixelSet((700, 900)), np.zeros((700, 900), bool)
    one.add_indices(places)
    plain[places] = True
    assert np.array_equal(one.array(), plain)
    other = one.copy()
    other.add((slice(0, 9), slice(0, 9)))
    assert len(one) == plain.sum()
    one.update(other)
    plain[:9, :9] = True
    assert np.array_equal(one.array(), plain)
    one.add_indices((np.zeros(0, int), np.zeros(0, int)))
    asked = tuple(rng.integers(0, n, 400) for n in (700, 900))
    assert np.array_equal(one.at(asked), one.array()[asked])
    assert np.array_equal(other.at(asked), plain[asked])
    assert other.at((np.zeros(0, int),) * 2).shape == (0,)


def test_the_ids_that_have_ink():
    labels = np.kron(np.arange(12).reshape(3, 4), np.ones((5, 5), int))
    assert list(locked_ids(labels, PixelSet(labels.shape))) == []
    inked = np.zeros(labels.shape, bool)
    inked[0, [0, 6]] = inked[12, 2:8] = True
    assert list(locked_ids(labels, ink_of(inked))) == [1, 8, 9]


def test_a_few_strokes_on_a_huge_stack_cost_little():
    ink = PixelSet((500, 20_000, 20_000))
    ink.add((slice(3, 4), slice(100, 120), slice(5000, 5030)))
    assert len(ink) == 600
    assert [mask.size for _, mask in ink.boxes()] == [16 * 128 * 128]


@pytest.mark.parametrize("box", [(slice(0, 5),), (slice(0, 5), slice(3, 12)), (slice(4, 2),) * 2])
def test_boxes_outside_are_refused(box):
    with pytest.raises(InputError, match="is not within"):
        PixelSet((10, 10)).add(box)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(InputError, match="mask"):
        PixelSet((10, 10)).add((slice(0, 2), slice(0, 2)), np.ones((3, 2), bool))


def ink_of(mask):
    ink = PixelSet(mask.shape)
    ink.add(tuple(slice(0, n) for n in mask.shape), mask)
    return ink


@given(st.integers(0, 10_000))
def test_classes_change_where_there_is_no_ink(seed):
    rng = np.random.default_rng(seed)
    current, new = rng.integers(0, 4, (2, 9, 12)).astype(np.uint8)
    inked = rng.random((9, 12)) < rng.random()
    merged = merge_classes(current, new, ink_of(inked))
    assert np.array_equal(merged, np.where(inked, current, new))


@given(st.integers(0, 10_000))
def test_objects_keep_ids_apart(seed):
    rng = np.random.default_rng(seed)
    current, new = np.kron(rng.integers(0, 5, (2, 4, 5)), np.ones((1, 3, 3), int)).astype(np.int32)
    inked = rng.random(current.shape) < 0.05
    merged = merge_objects(current, new, ink_of(inked))
    kept = np.setdiff1d(current[inked], 0)
    stays = np.isin(current, kept) | inked
    assert np.array_equal(merged[stays], current[stays])
    assert not np.isin(merged[~stays], kept).any()
    for number in np.setdiff1d(np.unique(new), 0):
        where = (new == number) & ~stays
        got = np.unique(merged[where])
        assert len(got) <= 1
        if (new == number).sum() < 2 * where.sum() and len(got):
            assert got[0] > 0
        if len(got) and got[0]:
            assert np.array_equal(merged == got[0], where)


def test_an_erased_object_does_not_come_back():
    current, new = np.zeros((2, 20, 20), np.uint16)
    new[5:10, 5:10], new[12:15, 3:9] = 1, 2
    erased = np.zeros((20, 20), bool)
    erased[5:10, 5:10] = True
    merged = merge_objects(current, new, ink_of(erased))
    assert not merged[5:10, 5:10].any()
    assert (merged[12:15, 3:9] == 2).all()


def test_more_objects_than_numbers():
    current = np.ones((16, 16), np.uint8)
    current[0, 0] = 255
    new = np.arange(256, dtype=np.uint8).reshape(16, 16)
    inked = np.zeros((16, 16), bool)
    inked[0, 0] = True
    with pytest.raises(InputError, match="uint8"):
        merge_objects(current, new, ink_of(inked))


def test_shapes_must_agree():
    with pytest.raises(InputError, match="one image"):
        merge_classes(np.zeros((2, 2), int), np.zeros((2, 3), int), PixelSet((2, 2)))
