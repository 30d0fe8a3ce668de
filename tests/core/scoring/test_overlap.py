"""The contingency table of two label images, against counting pixel by pixel."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.scoring import overlap as module
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of

DTYPES = [bool, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float32, float]


def labels(shape, dtype=np.int32, most=4):
    numbers = st.booleans() if dtype is bool else st.integers(0, most).map(dtype)
    return arrays(dtype, shape, elements=numbers)


@st.composite
def pairs(draw):
    shape = draw(st.sampled_from([(0,), (7,), (4, 5), (2, 3, 4)]))
    kinds = st.sampled_from(DTYPES)
    return draw(labels(shape, draw(kinds))), draw(labels(shape, draw(kinds)))


def as_dict(found):
    met = zip(found.prediction, found.truth, found.pixels, strict=True)
    ids = found.prediction_ids, found.truth_ids
    return {(int(ids[0][p]), int(ids[1][t])): int(n) for p, t, n in met}


def counted(said, true):
    pixels = zip(said.ravel().tolist(), true.ravel().tolist(), strict=True)
    return Counter((int(a), int(b)) for a, b in pixels)


@given(pairs())
def test_it_counts_what_is_there(two):
    said, true = two
    found, expected = overlap_of(said, true), counted(said, true)
    assert as_dict(found) == {pair: n for pair, n in expected.items() if all(pair)}
    for ids, sizes, image in (
        (found.prediction_ids, found.prediction_sizes, said),
        (found.truth_ids, found.truth_sizes, true),
    ):
        occurring = Counter(int(v) for v in image.ravel() if v)
        assert dict(zip(ids.tolist(), sizes.tolist(), strict=True)) == occurring
        assert np.all(np.diff(ids) > 0)
    assert found.n_pixels == said.size


@given(labels((6, 6)), labels((6, 6)))
def test_ids_are_only_names(said, true):
    names = np.array([0, -(2**62), 5, 2**40, 2**62])
    plain, renamed = overlap_of(said, true), overlap_of(names[said], names[true])
    expected = {(int(names[a]), int(names[b])): n for (a, b), n in as_dict(plain).items()}
    assert as_dict(renamed) == expected


def test_many_pairs_and_many_strips(monkeypatch):
    """The table grows, and is put together from strips that cut objects."""
    monkeypatch.setattr(module, "_PIXELS", 1000)
    monkeypatch.setattr(module, "_PER_TELLING", 7000)
    rng = np.random.default_rng(0)
    said, true = rng.integers(0, 90, (2, 150, 211))
    expected = {pair: n for pair, n in counted(said, true).items() if all(pair)}
    assert as_dict(overlap_of(said, true)) == expected
    # Neither memory order matters.
    assert as_dict(overlap_of(said.T, np.asfortranarray(true).T)) == expected


@given(labels((3, 4, 4)), labels((3, 4, 4)))
def test_an_id_is_another_object_in_each_frame(said, true):
    step = 5 * np.arange(3)[:, None, None]
    apart = overlap_of(np.where(said, said + step, 0), np.where(true, true + step, 0))
    framed = overlap_of(said, true, frame_axes=1)
    assert sorted(framed.iou()) == sorted(apart.iou())
    assert sorted(framed.truth_sizes) == sorted(apart.truth_sizes)
    assert (framed.n_predicted, framed.n_pixels) == (apart.n_predicted, apart.n_pixels)


def test_joined_of_nothing_is_empty():
    nothing = Overlap.joined([])
    assert (nothing.n_predicted, nothing.n_true, nothing.n_pixels) == (0, 0, 0)
    assert len(nothing.iou()) == 0
    assert overlap_of(np.zeros((0, 3, 3)), np.zeros((0, 3, 3)), frame_axes=1).n_true == 0


@pytest.mark.parametrize("wrong", [0.5, np.nan, np.inf])
def test_a_fraction_is_no_id(wrong):
    with pytest.raises(InputError, match="whole numbers, but"):
        overlap_of(np.array([1.0, wrong]), np.array([1, 1]))


def test_what_cannot_be_compared():
    with pytest.raises(InputError, match=r"\(2, 2\) and \(2, 3\)"):
        overlap_of(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(InputError, match="not complex128"):
        overlap_of(np.ones(2, dtype=complex), np.ones(2))


@pytest.mark.parametrize("frame_axes", [0, 1])
def test_it_can_be_cancelled(frame_axes):
    def stop(fraction, message=""):
        raise Cancelled

    with pytest.raises(Cancelled):
        overlap_of(np.ones((2, 5, 5)), np.ones((2, 5, 5)), frame_axes=frame_axes, progress=stop)
