"""Objects are followed by movement and through divisions, and their lineage reaches the files."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_labels, write_labels
from napari_unetseg.core.io.track_files import track_file
from napari_unetseg.core.measure import measure, measure_tracks
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.lineage import lineage_of
from napari_unetseg.core.objects.linking import link_choices, link_objects
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.samples import moving_nuclei
from napari_unetseg.core.threshold import ThresholdOptions, threshold

pytest.importorskip("laptrack")


def how(**more):
    return DecodeOptions.checked(link="time", **more)


def discs(*frames, shape=(64, 64)):
    """Draw frames of discs (row, column, radius), each with its own id."""
    y, x = np.indices(shape)
    labels, n = np.zeros((len(frames), *shape), np.int32), 0
    for frame, those in zip(labels, frames, strict=True):
        for row, column, radius in those:
            n += 1
            frame[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = n
    return labels, n


def at(labels, frame, row, column):
    return int(labels[frame, row, column])


def test_an_object_keeps_its_number_when_it_moves_further_than_its_size():
    labels, n = discs(*([(10 + 12 * t, 10, 4), (50 - 12 * t, 50, 4)] for t in range(4)))
    by_overlap, parents = labels.copy(), {}
    assert link_objects(by_overlap, "TYX", n, how(link_by="overlap")) == n, "nothing overlaps"
    assert link_objects(labels, "TYX", n, how(), parents=parents) == 2
    assert [at(labels, t, 10 + 12 * t, 10) for t in range(4)] == [1] * 4
    assert [at(labels, t, 50 - 12 * t, 50) for t in range(4)] == [2] * 4
    assert not parents


def test_daughters_get_new_numbers_and_the_number_of_their_mother():
    far = (10, 10, 5)
    frames = [
        [far, (40, 40, 8)],
        [far, (41, 40, 8)],
        [far, (41, 34, 5), (41, 46, 5)],
        [far, (41, 32, 6), (41, 48, 6)],
    ]
    labels, n = discs(*frames)
    plain, parents = labels.copy(), {}
    assert link_objects(labels, "TYX", n, how(), parents=parents) == 4
    assert parents == {3: 2, 4: 2}
    assert {at(labels, 3, 41, 32), at(labels, 3, 41, 48)} == {3, 4}
    assert [at(labels, t, 10, 10) for t in range(4)] == [1] * 4
    born = {}
    link_objects(plain, "TYX", n, how(link_divisions=False), parents=born)
    assert not born
    assert 2 in plain[3], "without divisions one of them goes on as the mother"


def test_an_object_that_appears_beside_another_of_its_size_is_no_daughter():
    labels, n = discs([(30, 20, 6)], [(30, 20, 6), (30, 34, 6)], [(30, 20, 6), (30, 34, 6)])
    parents = {}
    assert link_objects(labels, "TYX", n, how(link_distance=20), parents=parents) == 2
    assert not parents
    assert at(labels, 2, 30, 20) == 1


def test_a_gap_is_bridged_only_if_allowed_and_a_distance_is_a_limit():
    labels, n = discs([(30, 20, 5)], [], [(32, 22, 5)])
    assert link_objects(labels.copy(), "TYX", n, how()) == 2
    assert link_objects(labels.copy(), "TYX", n, how(link_gap=1)) == 1
    moved, n = discs([(30, 10, 4)], [(30, 40, 4)])
    assert link_objects(moved.copy(), "TYX", n, how(link_distance=29)) == 2
    assert link_objects(moved.copy(), "TYX", n, how(link_distance=31)) == 1


def test_volumes_are_followed_with_their_spacing_and_unlinked_planes_apart():
    volumes = np.zeros((2, 8, 32, 32), np.int32)
    volumes[0, 1:3, 10:16, 10:16] = 1
    volumes[1, 5:7, 10:16, 10:16] = 2
    options = how(link_distance=10.0)
    kept = volumes.copy()
    assert link_objects(kept, "TZYX", 2, options, whole="ZYX", spacing=(5, 1, 1)) == 2
    assert link_objects(kept, "TZYX", 2, options, whole="ZYX", spacing=(2, 1, 1)) == 1
    planes = np.zeros((2, 2, 32, 32), np.int32)
    planes[0, 0, 10:16, 10:16], planes[1, 1, 10:16, 10:16] = 1, 2
    assert link_objects(planes, "TZYX", 2, options) == 2, "in another plane, not linked through z"


def test_the_drawn_movie_is_followed_much_better_than_by_overlap():
    sample = moving_nuclei((16, 256, 256), seed=5, speed=0.7, density=0.5, divisions=0.08)
    truth = sample.objects
    assert sample.parents
    assert np.array_equal(
        truth, moving_nuclei((16, 256, 256), seed=5, speed=0.7, density=0.5, divisions=0.08).objects
    )

    def kept(link_by):
        labels, n = np.zeros_like(truth), 0
        for frame, true in zip(labels, truth, strict=True):
            ids = np.unique(true[true > 0])
            table = np.zeros(truth.max() + 1, np.int32)
            table[ids] = np.arange(n + 1, n + len(ids) + 1)
            frame[...], n = table[true], n + len(ids)
        parents = {}
        link_objects(labels, "TYX", n, how(link_by=link_by), parents=parents)
        same = total = 0
        for before, now, was, is_now in zip(truth, truth[1:], labels, labels[1:], strict=False):
            for one in np.intersect1d(before[before > 0], now[now > 0]):
                total += 1
                same += was[before == one][0] == is_now[now == one][0]
        return same / total, parents

    share, parents = kept("movement")
    by_overlap, none = kept("overlap")
    assert share > 0.93 > 0.8 > by_overlap
    assert len(parents) > 0.6 * len(sample.parents)
    assert not none


def test_the_lineage_reaches_the_file_beside_the_labels_and_the_tables(tmp_path):
    frames = [[(32, 32, 8)], [(32, 34, 8)], [(32, 28, 5), (32, 42, 5)], [(32, 26, 5), (32, 44, 5)]]
    grey, _ = discs(*frames)
    image = Image(np.where(grey > 0, 200, 10).astype(np.uint8), "TYX", (0.5, 0.5), "um")
    found = threshold(image, ThresholdOptions(result="objects", link="time")).image
    assert found.parents == {2: 1, 3: 1}
    path = tmp_path / "ids.tif"
    write_labels(path, found)
    assert track_file(path).read_text() == "1 0 1 0\n2 2 3 1\n3 2 3 1\n"
    again = read_labels(path)
    assert again.parents == found.parents
    table = measure(again)
    assert table["parent"].tolist() == [0, 0, 1, 1, 1, 1]
    tracks = measure_tracks(table)
    assert tracks["daughters"].tolist() == [2, 0, 0]
    assert tracks["frames"].tolist() == [2, 2, 2]
    assert np.allclose(tracks["path_um"], 1.0)
    assert np.allclose(tracks["speed_um_per_frame"], 1.0)
    assert np.allclose(tracks["straightness"], 1.0)
    timed = measure_tracks(measure(replace(again, interval=4.0)))
    assert timed["duration_s"].tolist() == [4.0] * 3
    assert np.allclose(timed["speed_um_per_s"], 0.25)
    write_labels(path, Image(found.data, "TYX"))
    assert not track_file(path).exists(), "tracks of other labels do not stay beside these"
    with pytest.raises(InputError, match="not linked over time"):
        measure_tracks(measure(read_labels(path)))
    track_file(path).write_text("1 0 x 0\n")
    with pytest.raises(InputError, match="four whole numbers"):
        read_labels(path)


def test_an_erased_object_leaves_the_lineage():
    labels, _ = discs([(32, 32, 8)], [(32, 26, 5), (32, 38, 5)])
    image = Image(labels, "TYX", parents={2: 1, 3: 1})
    assert lineage_of(image).parents == {2: 1, 3: 1}
    erased = image.with_data(np.where(labels == 3, 0, labels))
    assert lineage_of(erased).parents == {2: 1}
    assert lineage_of(erased).extents().tolist() == [[1, 0, 0, 0], [2, 1, 1, 1]]
    assert lineage_of(Image(labels, "TYX")) is None


def test_ids_of_other_programs_may_be_huge_or_below_zero():
    labels = np.zeros((2, 8, 8), np.int64)
    labels[:, 1:3, 1:3], labels[1, 5:7, 5:7], labels[:, 5:7, 1:3] = 2**40, 2**41, -4
    found = lineage_of(Image(labels, "TYX", parents={2**41: 2**40}))
    assert found.extents().tolist() == [[2**40, 0, 1, 0], [2**41, 1, 1, 2**40]]
    assert found.places[0].tolist() == [2**40, 0, 1.5, 1.5]


def test_a_mother_that_is_gone_or_comes_later_is_none(tmp_path):
    labels, _ = discs([(10, 10, 4)], [(10, 10, 4), (40, 40, 4)], [(25, 10, 3)])
    path = tmp_path / "ids.tif"
    write_labels(path, Image(labels, "TYX"))
    lines = "\ufeff1 0 0 3\n2 1 1 2\n3 1 1 1\n4 2 2 9\n"
    track_file(path).write_text(lines, encoding="utf-8")
    given = read_labels(path)
    assert given.parents == {1: 3, 2: 2, 3: 1, 4: 9}
    assert lineage_of(given).parents == {3: 1}
    assert measure(given)["parent"].tolist() == [0, 0, 1, 0]
    track_file(path).write_text(f"1 0 0 {10**19}\n")
    with pytest.raises(InputError, match="four whole numbers"):
        read_labels(path)


def test_without_the_library_a_sentence_names_it_before_anything_is_computed(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "napari_unetseg.core.objects.tracking.find_spec",
        lambda name: None if name == "laptrack" else find(name),
    )
    image = Image(np.eye(16, dtype=np.uint8)[None].repeat(2, 0), "TYX")

    def never(fraction, message=""):
        raise AssertionError("nothing is computed first")

    asked = ThresholdOptions(result="objects", link="time")
    with pytest.raises(InputError, match=r"pip install 'napari-unetseg\[tracking\]'"):
        threshold(image, asked, progress=never)
    by_overlap = asked.model_copy(update={"link_by": "overlap"})
    assert threshold(image, by_overlap).n_objects == 1
    assert threshold(Image(image.data, "ZYX"), asked).n_objects == 2, "no time, nothing to follow"


def test_cancelling_leaves_the_ids():
    labels, n = discs(*([(10 + 3 * t, 10, 4)] for t in range(6)))
    before = labels.copy()

    def cancels(fraction, message=""):
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        link_objects(labels, "TYX", n, how(), progress=cancels)
    assert np.array_equal(labels, before)


def test_only_links_that_have_an_effect_are_offered():
    assert link_choices("ZYX") == ("auto", "none", "planes")
    assert link_choices("TYX") == ("auto", "none", "time")
    assert link_choices("TZYX") == ("auto", "none", "planes", "time", "both")
    assert link_choices("TZYX", "ZYX") == ("auto", "none", "time")
    assert link_choices("YX") == link_choices("ZYX", "ZYX") == ("auto", "none")
