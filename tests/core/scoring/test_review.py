"""The list of objects and the picture of what became of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.scoring.object_scores import object_scores
from napari_unetseg.core.scoring.overlap import overlap_of
from napari_unetseg.core.scoring.review_objects import (
    HIT,
    INVENTED,
    KINDS,
    MISSED,
    count_objects,
    paint_review,
    review_objects,
)

planes = arrays(np.int32, (5, 7), elements=st.integers(0, 5))
volumes = arrays(np.uint8, (2, 3, 4), elements=st.integers(0, 4))
cases = st.one_of(
    st.tuples(planes, planes, st.just(0)),
    st.tuples(volumes, volumes, st.just(0)),
    st.tuples(volumes, volumes, st.just(1)),
)


def reviewed(said, true, threshold=0.5, frame_axes=0):
    counted = count_objects(said, true, frame_axes=frame_axes)
    found = review_objects(counted, threshold)
    return found, paint_review(counted, found, said, true)


@given(cases, st.sampled_from([0.1, 0.3, 0.5, 0.7]))
def test_every_object_is_listed_once(case, threshold):
    said, true, frame_axes = case
    found, _ = reviewed(said, true, threshold, frame_axes)
    overlap = overlap_of(said, true, frame_axes=frame_axes)
    true_rows = found.kind != INVENTED
    assert sorted(found.label[true_rows]) == sorted(overlap.truth_ids)
    n_matched = int((found.kind == HIT).sum())
    assert n_matched == found.matching.n_matched
    assert (found.kind == INVENTED).sum() == overlap.n_predicted - n_matched
    scores = object_scores(overlap)
    assert (found.ap50, found.map) == (scores.ap50, scores.map)


@given(cases)
def test_where_and_how_large_they_are(case):
    said, true, frame_axes = case
    found, _ = reviewed(said, true, frame_axes=frame_axes)
    for row in range(len(found)):
        image = said if found.kind[row] == INVENTED else true
        frame = tuple(found.spots.low[row, :frame_axes])
        where = np.argwhere(image[frame] == found.label[row])
        assert found.pixels[row] == len(where)
        assert found.spots.centre[row, frame_axes:] == pytest.approx(where.mean(0))
        assert tuple(found.spots.low[row, frame_axes:]) == tuple(where.min(0))
        assert tuple(found.spots.high[row, frame_axes:]) == tuple(where.max(0))


@given(cases)
def test_the_worst_come_first(case):
    said, true, frame_axes = case
    found, _ = reviewed(said, true, frame_axes=frame_axes)
    hit = found.kind == HIT
    assert np.all(np.diff(hit.astype(int)) >= 0)
    for group in (hit, ~hit):
        assert np.all(np.diff(found.iou[group]) >= 0)


@given(cases)
def test_the_picture_shows_the_worst_of_each_pixel(case):
    said, true, frame_axes = case
    found, picture = reviewed(said, true, frame_axes=frame_axes)
    assert np.array_equal(picture > 0, (said > 0) | (true > 0))
    expected = np.zeros(picture.shape, np.uint8)
    overlap = count_objects(said, true, frame_axes=frame_axes).overlap
    hits = set(found.matching.prediction)
    for row in range(len(found)):
        frame = tuple(found.spots.low[row, :frame_axes])
        image = said if found.kind[row] == INVENTED else true
        here = image[frame] == found.label[row]
        expected[frame][here] = np.maximum(expected[frame][here], found.kind[row])
    assert len(hits) <= overlap.n_predicted
    rest = (expected == 0) & (picture > 0)
    assert np.all(picture[rest] == HIT)
    assert np.array_equal(np.where(rest, HIT, expected), picture)


def test_a_hit_a_miss_and_an_invention():
    said, true = np.zeros((2, 10, 20), int)
    true[2:6, 2:6], said[2:6, 3:6] = 4, 7
    true[2:4, 10:12] = 5
    said[7:9, 14:19] = 9
    found, picture = reviewed(said, true)
    assert [KINDS[kind] for kind in found.kind] == ["false positive", "missed", "matched"]
    assert found.label.tolist() == [9, 5, 4]
    assert found.partner.tolist() == [0, 0, 7]
    assert found.iou.tolist() == [0, 0, 0.75]
    assert picture[3, 2] == picture[3, 4] == HIT
    assert (picture[2, 10], picture[7, 15], picture[0, 0]) == (MISSED, INVENTED, 0)
    # Asked for more, the pair is no match, and says how close it was.
    found, picture = reviewed(said, true, 0.8)
    assert (found.kind == HIT).sum() == 0
    assert found.iou.tolist() == [0, 0, 0.75, 0.75]
    assert found.partner[found.label == 4].tolist() == [7]


def test_an_invention_within_a_hit_is_seen():
    true = np.zeros((10, 10), int)
    true[1:9, 1:9] = 1
    said = true.copy()
    said[4:6, 4:6] = 2
    _, picture = reviewed(said, true)
    assert picture[4, 4] == INVENTED
    assert picture[2, 2] == HIT


def test_labels_drawn_since_are_left_out():
    true = np.zeros((6, 6), int)
    true[1:3, 1:3] = 1
    counted = count_objects(true, true)
    later = true.copy()
    later[4, 4] = 99
    picture = paint_review(counted, review_objects(counted), later, later)
    assert picture[4, 4] == 0
    assert picture[1, 1] == HIT


def test_nothing_at_all():
    found, picture = reviewed(np.zeros((4, 4), int), np.zeros((4, 4), int))
    assert len(found) == 0
    assert found.matching.f1 == found.ap50 == 1
    assert not picture.any()


def test_real_shapes_against_scipy():
    rng = np.random.default_rng(3)
    truth, n = ndimage.label(ndimage.gaussian_filter(rng.normal(size=(300, 280)), 4) > 0.03)
    found, _ = reviewed(truth, truth)
    assert n > 20
    assert (found.kind == HIT).all()
    centres = ndimage.center_of_mass(truth > 0, truth, found.label)
    np.testing.assert_allclose(found.spots.centre, centres)


def test_what_cannot_be():
    with pytest.raises(InputError, match="cannot be compared"):
        count_objects(np.ones((3, 3)), np.ones((3, 4)))
    with pytest.raises(InputError, match="not in 4"):
        count_objects(np.ones((2, 2, 2, 2)), np.ones((2, 2, 2, 2)))


def test_it_can_be_cancelled():
    def stop(fraction, message=""):
        if message == "measuring":
            raise Cancelled

    with pytest.raises(Cancelled):
        count_objects(np.ones((4, 4)), np.ones((4, 4)), progress=stop)
