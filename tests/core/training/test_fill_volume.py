"""From painted planes to the objects of a stack: what was painted stays, and is continued."""

import numpy as np
import pytest

from napari_unetseg.core import samples
from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.training.fill_volume import (
    FillOptions,
    continue_sections,
    fill_volume,
    kept_sections,
)


def columns() -> np.ndarray:
    """Return three columns through ten planes, numbered in another order than those painted."""
    found = np.zeros((10, 12, 30), np.int32)
    for number, at in ((1, 0), (2, 10), (3, 20)):
        found[:, 2:10, at + 1 : at + 9] = number
    return found


def painted(sections: dict[tuple[int, int], int]) -> np.ndarray:
    """Return ids painted in a plane at a column, a pixel narrower than found."""
    ids = np.zeros((10, 12, 30), np.int32)
    for (plane, column), number in sections.items():
        ids[plane, 3:9, column * 10 + 2 : column * 10 + 8] = number
    return ids


def test_objects_continue_painted_sections_and_others_get_new_ids() -> None:
    ids = painted({(4, 0): 7, (4, 1): 3})
    kept = kept_sections(ids, planes=[4])
    out = continue_sections(columns(), ids, kept)
    np.testing.assert_array_equal(out[4], ids[4])
    assert set(np.unique(out[0])) == {0, 3, 7, 8}
    assert (out[[0, 9], 5, 5] == 7).all()
    assert (out[[0, 9], 5, 15] == 3).all()
    assert (out[[0, 9], 5, 25] == 8).all()


def test_an_object_that_continues_two_is_divided_and_two_that_continue_one_are_joined() -> None:
    ids = painted({(1, 0): 5, (8, 0): 6, (1, 1): 9, (8, 1): 9})
    found = columns()
    found[5:, :, 10:20][found[5:, :, 10:20] > 0] = 4
    out = continue_sections(found, ids, kept_sections(ids))
    assert [int(n) for n in out[:, 5, 5]] == [5] * 5 + [6] * 5
    assert (out[:, 5, 15] == 9).all()


def test_an_object_over_two_painted_ones_in_a_plane_is_divided_between_them() -> None:
    found = columns()
    found[:, 2:10, 1:19] = 1
    ids = painted({(4, 0): 7, (4, 1): 3})
    out = continue_sections(found, ids, kept_sections(ids), (2.0, 0.5, 0.5))
    for plane in (0, 9):
        assert (out[plane, 2:10, 1:9] == 7).all()
        assert (out[plane, 2:10, 11:19] == 3).all()


def test_of_a_corrected_plane_the_corrected_objects_are_true() -> None:
    ids = columns()
    locked = PixelSet(ids.shape)
    locked.add((slice(3, 4), slice(5, 6), slice(5, 6)))
    locked.add((slice(3, 4), slice(0, 1), slice(0, 1)))
    kept = kept_sections(ids, locked)
    expected = np.zeros(ids.shape, np.bool_)
    expected[3] = ids[3] == 1
    expected[3, 0, 0] = True
    np.testing.assert_array_equal(kept, expected)
    for column in (15, 25):
        locked.add((slice(3, 4), slice(5, 6), slice(column, column + 1)))
    whole = kept_sections(ids, locked)
    assert whole[3].all()
    assert not np.delete(whole, 3, 0).any()


def test_ids_may_be_huge_and_planes_empty_or_below_zero() -> None:
    ids = painted({(4, 0): 7, (4, 1): 3}).astype(np.int64)
    ids[ids > 0] += 2**40
    ids[2, 0, 0] = ids[4, 0, 0] = -1
    kept = kept_sections(ids)
    assert np.flatnonzero(kept.any((1, 2))).tolist() == [4], (
        "a plane without objects is not painted"
    )
    out = continue_sections(columns(), ids, kept)
    assert set(np.unique(out[0])) == {0, 2**40 + 3, 2**40 + 7, 2**40 + 8}
    empty = continue_sections(columns(), ids, kept_sections(ids, planes=[4, 6]))
    assert not empty[6].any(), "a painted plane without objects stays without"
    assert empty[7].any()


@pytest.fixture(scope="module")
def drawn() -> tuple[Image, np.ndarray]:
    sample = samples.nuclei((10, 64, 64), seed=2, touching=0.3, density=1.5)
    return Image.of(sample.image, "ZYX", spacing=sample.spacing, unit="µm"), sample.objects


def test_a_painted_plane_fills_the_stack_and_stays(drawn: tuple[Image, np.ndarray]) -> None:
    pytest.importorskip("torch", reason="the networks need PyTorch")
    image, objects = drawn
    ids = np.zeros_like(objects)
    ids[5] = objects[5]
    before = ids.copy()
    made = fill_volume(image, ids, FillOptions(minutes=0.03))
    assert made.planes == (5,)
    np.testing.assert_array_equal(made.labels[5], ids[5])
    np.testing.assert_array_equal(ids, before)
    assert made.model.ndim == 2
    assert made.kept[5].all()
    again = fill_volume(image, made.labels, FillOptions(minutes=0.02), planes=[5], start=made.model)
    assert again.model.parent == made.model.fingerprint
    np.testing.assert_array_equal(again.labels[5], ids[5])


def test_labels_keep_their_ids_and_what_is_below_zero(drawn: tuple[Image, np.ndarray]) -> None:
    pytest.importorskip("torch", reason="the networks need PyTorch")
    image, objects = drawn
    ids = np.zeros(objects.shape, np.int64)
    ids[5] = np.where(objects[5] > 0, objects[5] + np.int64(2**31 - 3), 0)
    ids[2, :3] = ids[5, 0, :3] = -1
    made = fill_volume(image, ids, FillOptions(minutes=0.01))
    np.testing.assert_array_equal(made.labels[5], ids[5])
    assert (made.labels[2, :3] == -1).all()
    deep = FillOptions(minutes=0.01, learn="stacks")
    again = fill_volume(image, ids, deep, start=made.model)
    assert (again.model.ndim, again.model.parent) == (3, ""), "it cannot go on from one of planes"
    np.testing.assert_array_equal(again.labels[5], ids[5])
    others = np.delete(made.labels, [2, 5], 0)
    assert others.min() == 0
    assert made.n_objects == len(np.unique(made.labels[made.labels > 0]))


def test_it_is_refused_in_words_and_cancelled(drawn: tuple[Image, np.ndarray]) -> None:
    image, objects = drawn
    with pytest.raises(InputError, match="No plane has a painted object"):
        fill_volume(image, np.zeros_like(objects))
    with pytest.raises(InputError, match="a stack is needed"):
        fill_volume(Image.of(image.asarray(), "TYX"), objects)
    with pytest.raises(InputError, match="painted on this image"):
        fill_volume(image, objects[1:])
    for plane in (10, -1):
        with pytest.raises(InputError, match=f"no plane {plane}: the stack has 10 planes"):
            fill_volume(image, objects, planes=[5, plane])
    with pytest.raises(InputError, match="fractions"):
        fill_volume(image, objects + 0.5)
    with pytest.raises(InputError, match="too large"):
        fill_volume(image, np.where(objects > 0, np.uint64(2**63), np.uint64(0)))

    def cancel(fraction: float, message: str = "") -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fill_volume(image, objects, progress=cancel)
