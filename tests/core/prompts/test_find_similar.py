"""Objects like a few kept ones: two kinds of discs, drawn with exact truth."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.prompts.find_similar import LIKELY, SimilarObject, find_similar
from napari_unetseg.core.prompts.grown_prompts import GrownPrompts
from napari_unetseg.core.prompts.prompt import ProposedObject

SIDE, STEP = 160, 32


def drawn(seed: int = 0) -> tuple[Image, NDArray[np.int32]]:
    """Return noisy discs of two radii on a grid, the larger ones with odd ids, and their ids."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    ids = np.zeros((SIDE, SIDE), np.int32)
    number = 0
    for row in range(STEP // 2, SIDE, STEP):
        for column in range(STEP // 2, SIDE, STEP):
            number += 1
            radius = 9 if number % 2 else 4
            shift = chance.uniform(-3, 3, 2)
            inside = (y - row - shift[0]) ** 2 + (x - column - shift[1]) ** 2 <= radius**2
            ids[inside] = number
    pixels = 100 * ndimage.gaussian_filter((ids > 0).astype(float), 1)
    pixels += chance.normal(20, 5, pixels.shape)
    return Image.of(pixels.astype(np.float32), "YX"), ids


def cut(ids: NDArray[np.int32], number: int) -> ProposedObject:
    """Return one object of the truth."""
    box = ndimage.find_objects((ids == number).astype(np.uint8))[0]
    return ProposedObject(ids[box] == number, (box[0].start, box[1].start), 1.0)


def number_of(one: SimilarObject, ids: NDArray[np.int32]) -> int:
    """Return the true object that a proposal overlaps by more than half of both, or 0."""
    inside = ids[one.found.slices][one.found.mask]
    number = int(np.bincount(inside).argmax())
    union = np.count_nonzero(ids == number) + one.found.area - np.count_nonzero(inside == number)
    return number if number and np.count_nonzero(inside == number) > 0.5 * union else 0


@pytest.fixture(scope="module")
def sample() -> tuple[Image, NDArray[np.int32]]:
    return drawn()


@pytest.fixture(scope="module")
def found(sample: tuple[Image, NDArray[np.int32]]) -> list[SimilarObject]:
    image, ids = sample
    return find_similar(image, [cut(ids, 9)])


def test_the_others_of_its_kind_are_found_and_come_first(
    sample: tuple[Image, NDArray[np.int32]], found: list[SimilarObject]
) -> None:
    _, ids = sample
    numbers = [number_of(one, ids) for one in found if one.likeness >= LIKELY]
    large = set(range(1, 26, 2)) - {9}
    assert len(large & set(numbers)) >= 0.9 * len(large)
    assert sum(number % 2 for number in numbers[: len(large)]) >= 0.9 * len(large)
    likeness = [one.likeness for one in found]
    assert likeness == sorted(likeness, reverse=True)
    assert 0 <= min(likeness) <= max(likeness) <= 1


def test_the_other_kind_is_less_alike(
    sample: tuple[Image, NDArray[np.int32]], found: list[SimilarObject]
) -> None:
    _, ids = sample
    by_size: dict[int, list[float]] = {0: [], 1: []}
    for one in found:
        number = number_of(one, ids)
        if number:
            by_size[number % 2].append(one.likeness)
    assert not by_size[0] or max(by_size[0]) < min(by_size[1])


def test_proposals_lie_apart_and_off_what_is_kept_or_taken(
    sample: tuple[Image, NDArray[np.int32]],
) -> None:
    image, ids = sample
    taken = ids == 3
    again = find_similar(image, [cut(ids, 9), cut(ids, 11)], taken=lambda window: taken[window])
    count = np.zeros(ids.shape, int)
    for one in again:
        count[one.found.slices] += one.found.mask
    assert count.max() == 1
    assert not count[taken | (ids == 9) | (ids == 11)].any()


def test_colours_lazy_pixels_and_nan(sample: tuple[Image, NDArray[np.int32]]) -> None:
    import dask.array as da

    image, ids = sample
    pixels = np.asarray(image.data)[:96, :96].copy()
    pixels[:12, :12] = np.nan
    colours = np.stack([pixels, pixels / 2, pixels / 3])
    lazy = Image.of(da.from_array(colours, chunks=(1, 48, 48)), "CYX")
    some = find_similar(lazy, [cut(ids[:96, :96], 7)])
    assert any(number_of(one, ids[:96, :96]) == 13 for one in some)


def test_an_object_at_the_end_of_the_plane_is_asked_for_within_it() -> None:
    y, x = np.mgrid[:120, :200]
    mask = np.hypot(y - 40, x - 40) < 11
    step = 0.6 * 2 * np.sqrt(mask.sum() / np.pi)
    ends = [k * step + step / 2 for k in range(6, 12)]
    width = next(int(np.ceil(end)) for end in ends if end % 1 > 0.5)
    bright = mask | (np.hypot(y - 80, x - width + 2) < 11)
    image = (100.0 * bright + np.random.default_rng(0).normal(0, 5, bright.shape))[:, :width]
    kept = ProposedObject(mask[29:52, 29:52], (29, 29), 1.0)
    plane = Image.of(image)
    found = find_similar(plane, [kept], segmenter=GrownPrompts(plane))
    assert any(one.found.slices[1].stop == width for one in found)


def test_a_cancelled_search_ends_and_nothing_to_find_is_no_error(
    sample: tuple[Image, NDArray[np.int32]],
) -> None:
    image, ids = sample

    def cancel(fraction: float, message: str = "", /) -> None:
        if fraction > 0.2:
            raise Cancelled

    with pytest.raises(Cancelled):
        find_similar(image, [cut(ids, 9)], progress=cancel)
    flat = Image.of(np.full((64, 64), 7.0, np.float32), "YX")
    square = ProposedObject(np.ones((9, 9), np.bool_), (20, 20), 1.0)
    assert not [one for one in find_similar(flat, [square]) if one.likeness > 0.9]


@pytest.mark.parametrize(
    ("axes", "kept", "reason"),
    [
        ("ZYX", [ProposedObject(np.ones((4, 4), np.bool_), (0, 0), 1.0)], "axes are ZYX"),
        ("YX", [], "no object to be like"),
        ("YX", [ProposedObject(np.zeros((4, 4), np.bool_), (0, 0), 1.0)], "no object to be like"),
    ],
)
def test_what_cannot_be_searched_is_said(axes: str, kept: Any, reason: str) -> None:
    image = Image.of(np.zeros((3, 32, 32)[-len(axes) :], np.float32), axes)
    with pytest.raises(InputError, match=reason):
        find_similar(image, kept)
