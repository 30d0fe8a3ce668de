"""Distances between outlines, against scikit-image and against looking at every pair of pixels."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import hausdorff_distance
from skimage.segmentation import find_boundaries

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.scoring.boundary_scores import (
    BoundaryScores,
    boundary_scores,
    mark_boundary,
)

images = arrays(np.uint8, (7, 9), elements=st.integers(0, 3))
volumes = arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 2))
either = st.one_of(st.tuples(images, images), st.tuples(volumes, volumes))
steps = st.sampled_from([0.25, 0.5, 1.0, 1.5, 3.0])


def slow(said, true, tolerance, spacing):
    """Every boundary pixel against every other."""
    one, other = (np.argwhere(mark_boundary(image)) * spacing for image in (said, true))
    apart = np.sqrt(((one[:, None] - other[None]) ** 2).sum(-1))
    forth, back = apart.min(1), apart.min(0)

    def reached(distances):
        return min(d for d in distances if np.mean(distances <= d) >= 0.95)

    precision, recall = np.mean(forth <= tolerance + 1e-5), np.mean(back <= tolerance + 1e-5)
    return BoundaryScores(
        max(forth.max(), back.max()),
        max(reached(forth), reached(back)),
        precision,
        recall,
        2 * precision * recall / (precision + recall) if precision + recall else 0.0,
    )


@given(either)
def test_the_boundary_is_scikit_images_inner_one(two):
    for image in two:
        expected = find_boundaries(image, connectivity=1, mode="inner", background=0)
        assert np.array_equal(mark_boundary(image), expected)


@given(either)
def test_the_hausdorff_distance_is_scikit_images(two):
    one, other = map(mark_boundary, two)
    assume(one.any() and other.any())
    found = boundary_scores(*two)
    assert found.hausdorff == pytest.approx(hausdorff_distance(one, other))
    assert found.hausdorff95 <= found.hausdorff


@given(either, st.lists(steps, min_size=3, max_size=3), st.sampled_from([0, 0.5, 1, 2.2]))
def test_every_score_is_the_obvious_one(two, spacing, tolerance):
    spacing = spacing[-two[0].ndim :]
    assume(all(mark_boundary(image).any() for image in two))
    found = boundary_scores(*two, tolerance=tolerance, spacing=spacing)
    expected = slow(*two, tolerance, np.array(spacing))
    assert found.__dict__ == pytest.approx(expected.__dict__)


def test_touching_objects_have_a_boundary_between_them():
    """The negative control: the masks are the same, and say nothing of the border within."""
    two = np.zeros((8, 10), int)
    two[2:6, 1:5], two[2:6, 5:9] = 1, 2
    merged = two > 0
    assert boundary_scores(merged, two > 0).boundary_f1 == 1
    found = boundary_scores(merged, two, tolerance=0)
    assert found.boundary_precision == 1
    assert found.boundary_recall < 1


def test_units():
    said, true = np.zeros((2, 20, 30), int)
    said[5:15, 5:15], true[5:15, 8:18] = 1, 1
    assert boundary_scores(said, true).hausdorff == 3
    assert boundary_scores(said, true, spacing=(1, 0.5)).hausdorff == 1.5
    assert boundary_scores(said, true, tolerance=3).boundary_f1 == 1
    assert boundary_scores(said, true, tolerance=1.5, spacing=(1, 0.5)).boundary_f1 == 1
    assert boundary_scores(said, true, tolerance=1.4, spacing=(1, 0.5)).boundary_f1 < 1


def test_frames_are_apart_and_pooled():
    said, true = np.zeros((2, 2, 9, 9), int)
    said[0, 2:5, 2:5] = true[0, 2:5, 2:5] = 1
    said[1, 2:5, 2:5], true[1, 2:5, 3:6] = 1, 1
    assert boundary_scores(said, true, frame_axes=1).hausdorff == 1
    # As a volume, the neighbouring plane is just as near.
    assert boundary_scores(said, true, frame_axes=1, tolerance=0).boundary_f1 == pytest.approx(
        np.mean([1, boundary_scores(said[1], true[1], tolerance=0).boundary_f1])
    )
    true[1] = 0
    assert boundary_scores(said, true, frame_axes=1).hausdorff == np.inf
    assert boundary_scores(said, true, frame_axes=1).boundary_recall == 1


def test_empty_images():
    nothing, something = np.zeros((6, 6), int), np.zeros((6, 6), int)
    something[2:4, 2:4] = 1
    assert boundary_scores(nothing, nothing) == BoundaryScores(0, 0, 1, 1, 1)
    apart = BoundaryScores(np.inf, np.inf, 0, 0, 0)
    assert boundary_scores(something, nothing) == apart
    assert boundary_scores(nothing, something) == apart
    # An object that fills the field has no outline in it.
    assert boundary_scores(np.ones((6, 6)), nothing) == BoundaryScores(0, 0, 1, 1, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tolerance": -1}, "tolerance is a distance"),
        ({"spacing": (1, 2, 3)}, "must be 2 positive"),
        ({"spacing": (1, 0)}, "must be 2 positive"),
        ({"frame_axes": 1}, "2 or 3 dimensions, not in 1"),
    ],
)
def test_what_cannot_be(options, said):
    with pytest.raises(InputError, match=said):
        boundary_scores(np.ones((4, 4)), np.ones((4, 4)), **options)
