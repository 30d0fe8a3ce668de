"""Linking: sections of a volume become its objects again, and what does not overlap does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core import samples
from napari_unetseg.core.compute.scratch_arrays import Scratch
from napari_unetseg.core.image import Image
from napari_unetseg.core.objects import linking
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.linking import link_in_words, link_objects
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.scoring.object_scores import match
from napari_unetseg.core.scoring.overlap import overlap_of
from napari_unetseg.core.threshold import ThresholdOptions


def how(link="planes", iou=0.01, gap=0):
    return DecodeOptions.checked(link=link, link_iou=iou, link_gap=gap)


def cut(ids, frames=1):
    """Return the objects of every plane (the first axes count them) with ids of their own."""
    out, n = np.zeros(ids.shape, np.int32), 0
    for index in np.ndindex(ids.shape[:frames]):
        values, places = np.unique(ids[index], return_inverse=True)
        new = np.where(values > 0, np.cumsum(values > 0) + n, 0)
        out[index] = new[places].reshape(ids[index].shape)
        n = max(n, int(new.max()))
    return out, n


def same(one, other):
    """Whether two label images hold the same objects."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return all(len(np.unique(row)) == pairs.shape[1] for row in pairs)


@pytest.fixture(scope="module")
def nuclei():
    """The ids of nuclei apart from each other, in planes a micrometre apart."""
    return samples.nuclei((28, 96, 96), seed=3, touching=0, density=1.5, spacing=(1, 0.5, 0.5))


def test_sections_become_the_objects_of_the_volume(nuclei):
    ids = nuclei.objects
    labels, n = cut(ids)
    left = link_objects(labels, "ZYX", n, how())
    assert left == ids.max() < n / 5
    assert same(labels, ids)
    assert np.array_equal(np.unique(labels), np.arange(left + 1))
    planes = np.unique(labels, return_index=True)[1][1:] // ids[0].size
    assert (np.diff(planes) >= 0).all()


def test_what_does_not_overlap_stays_apart(nuclei):
    ids = nuclei.objects
    aside = np.zeros((len(ids), 96, 192), np.int32)
    aside[::2, :, :96], aside[1::2, :, 96:] = ids[::2], ids[1::2]
    labels, n = cut(aside)
    before = labels.copy()
    assert link_objects(labels, "ZYX", n, how()) == n
    np.testing.assert_array_equal(labels, before)
    # One plane may be missing: the halves are whole again, and never joined with each other.
    left = link_objects(labels, "ZYX", n, how(gap=1))
    assert left < n / 3
    assert not set(np.unique(labels[..., :96])) & set(np.unique(labels[..., 96:])) - {0}


def test_touching_nuclei_are_linked_well_and_not_so_with_a_high_threshold():
    ids = samples.nuclei((20, 96, 96), seed=1, touching=0.6, density=1.5).objects
    scores = {}
    for iou in (0.05, 0.6):
        labels, n = cut(ids)
        link_objects(labels, "ZYX", n, how(iou=iou))
        scores[iou] = match(overlap_of(labels, ids), 0.5).f1
    assert scores[0.05] > 0.85
    assert scores[0.6] < 0.7


def test_the_better_overlap_wins_and_no_object_gets_two():
    labels = np.zeros((2, 1, 12), np.int32)
    labels[0, 0, :8] = 1
    labels[1, 0, :3], labels[1, 0, 3:10] = 2, 3
    assert link_objects(labels, "ZYX", 3, how()) == 2
    assert labels[1, 0, :10].tolist() == [2] * 3 + [1] * 7


def test_a_gap_is_bridged_only_where_asked():
    labels = np.zeros((4, 6, 6), np.int32)
    for z, number in ((0, 1), (1, 2), (3, 3)):
        labels[z, 1:4, 1:4] = number
    for gap, n in ((0, 2), (1, 1)):
        linked = labels.copy()
        assert link_objects(linked, "ZYX", 3, how(gap=gap)) == linked.max() == n


def test_time_is_another_axis():
    ids = samples.nuclei((10, 64, 64), seed=2, touching=0, spacing=(1.5, 0.5, 0.5)).objects
    # Two times, (T, Z, Y, X): all objects move by a pixel.
    series = np.stack([ids, np.roll(ids, 1, -1)])
    series[1, :, :, 0] = 0
    truth = series.copy()
    planes, n = cut(series, frames=2)
    through = planes.copy()
    of_times = link_objects(through, "TZYX", n, how("planes"))
    assert same(through[0], truth[0])
    assert not set(np.unique(through[0])) & set(np.unique(through[1])) - {0}
    both = planes.copy()
    assert link_objects(both, "TZYX", n, how("both")) == ids.max() < of_times
    assert same(both, truth)
    volumes, m = cut(series)
    assert link_objects(volumes, "TZYX", m, how("time")) == ids.max()
    assert same(volumes, truth)
    # What goes through a stack already is left alone.
    assert link_objects(volumes.copy(), "TZYX", ids.max(), how("planes"), whole="ZYX") == ids.max()
    # Channels have nothing to do with each other, and without the axis there is nothing to do.
    assert link_objects(volumes.copy(), "CZYX", m, how("time")) == m
    assert link_objects(planes.copy(), "TZYX", n, how("none")) == n


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 400), st.integers(0, 2))
def test_strips_and_files_change_nothing(seed, strip, gap):
    rng = np.random.default_rng(seed)
    ids = np.kron(rng.integers(0, 9, (5, 6, 7)), np.ones((1, 3, 4), int))
    labels, n = cut(ids)
    whole, on_disk = labels.copy(), Scratch(labels.shape, np.int32)
    on_disk[:] = labels
    found = link_objects(whole, "ZYX", n, how(gap=gap, iou=0.2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linking, "_STRIP", strip)
        assert link_objects(on_disk, "ZYX", n, how(gap=gap, iou=0.2)) == found
    np.testing.assert_array_equal(on_disk[:], whole)


def test_nothing_is_nothing_and_cancelling_leaves_the_ids():
    empty = np.zeros((3, 5, 5), np.int32)
    assert link_objects(empty, "ZYX", 0, how()) == 0

    def cancels(fraction, message=""):
        if fraction > 0.3:
            raise Cancelled

    labels = np.zeros((4, 5, 5), np.int32)
    labels[:] = np.arange(1, 5)[:, None, None]
    before = labels.copy()
    with pytest.raises(Cancelled):
        link_objects(labels, "ZYX", 4, how(), progress=cancels)
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize(
    ("axes", "link", "words"),
    [
        ("ZYX", "auto", ", linked through 4 planes"),
        ("TYX", "auto", ""),
        ("TYX", "time", ", linked over 4 times"),
        ("ZYX", "time", ", not linked over time (the axes are ZYX)"),
        ("ZYX", "both", ", linked through 4 planes, not linked over time (the axes are ZYX)"),
        ("YX", "planes", ", not linked through planes (the axes are YX)"),
        ("YX", "none", ""),
    ],
)
def test_words_say_along_which_axes_objects_are_linked_and_which_are_not_there(axes, link, words):
    image = Image.of(np.zeros((4, 5, 5)[-len(axes) :]), axes)
    assert link_in_words(image, how(link)) == words


def test_all_who_link_have_the_same_options():
    for name in ("link", "link_iou", "link_gap"):
        one, other = (kind.model_fields[name] for kind in (DecodeOptions, ThresholdOptions))
        assert (one.default, one.description) == (other.default, other.description)
