"""Prompts: what a proposed object always keeps, on any image."""

import dask.array
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.prompts import open_prompts as open_prompts_module
from napari_unetseg.core.prompts.crops import without_outliers
from napari_unetseg.core.prompts.grown_prompts import GrownPrompts
from napari_unetseg.core.prompts.open_prompts import open_prompts
from napari_unetseg.core.prompts.prompt import Prompt, ProposedObject, settled

CENTRE = (60.0, 80.0)


def two_discs(size: int = 160) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Return two discs that touch, on a noisy field, and the mask of the first."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    one = np.hypot(y - CENTRE[0], x - CENTRE[1]) < 18
    other = np.hypot(y - 60, x - 122) < 18
    image = 300 + 500 * one + 700 * other + rng.normal(0, 12, (size, size))
    return image.astype(np.uint16), one


def overlap(found: ProposedObject | None, truth: NDArray[np.bool_]) -> float:
    assert found is not None
    mask = found.whole(truth.shape)
    return float((mask & truth).sum() / (mask | truth).sum())


def test_a_click_outlines_the_object() -> None:
    image, truth = two_discs()
    found = GrownPrompts(Image.of(image)).propose(Prompt((CENTRE,)))
    assert overlap(found, truth) > 0.85


def test_objects_are_grown_where_torch_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_prompts_module, "find_spec", lambda _: None)
    assert isinstance(open_prompts(Image.of(two_discs()[0])), GrownPrompts)


def test_the_same_object_in_colour_in_channels_and_lazily() -> None:
    image, truth = two_discs()
    eight = (image / 5).astype(np.uint8)
    rgb = np.stack([eight, eight, eight], -1)
    prompt = Prompt((CENTRE,))
    for given in (
        Image.of(rgb, "YXC", rgb=True),
        Image.of(np.stack([image, image]), "CYX"),
        Image.of(dask.array.from_array(image, chunks=40), "YX"),
    ):
        assert overlap(GrownPrompts(given).propose(prompt), truth) > 0.85


def test_only_windows_of_a_large_image_are_read() -> None:
    read = []

    def block(block_info: dict) -> NDArray[np.float32]:
        read.append(block_info[None]["chunk-location"])
        return np.zeros((512, 512), np.float32)

    lazy = dask.array.map_blocks(block, chunks=((512,) * 32,) * 2, dtype=np.float32)
    found = open_prompts(Image.of(lazy, "YX")).propose(Prompt(((8000, 8000),)))
    assert found is None
    assert len(set(read)) < 100


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_nothing_is_found_in_an_image_without_contrast(value: float) -> None:
    image = Image.of(np.full((64, 64), value))
    assert open_prompts(image).propose(Prompt(((30, 30),))) is None


@pytest.mark.parametrize("value", [1e30, -1e30, np.inf, np.nan, 1e300])
def test_a_broken_pixel_near_the_click_hides_nothing(value: float) -> None:
    image, truth = two_discs()
    broken = image.astype(np.float64)
    broken[55, 70] = broken[64, 85] = value
    for given in (broken, broken.astype(np.float32) if abs(value) != 1e300 else broken):
        found = GrownPrompts(Image.of(given)).propose(Prompt((CENTRE,)))
        assert overlap(found, truth) > 0.85


def test_only_outliers_are_mended() -> None:
    plain = two_discs()[0].astype(np.float32)[None]
    assert np.array_equal(without_outliers(plain), plain)
    small = np.zeros((1, 40, 40), np.float32)
    small[0, 20:22, 20:22] = 500
    assert np.array_equal(without_outliers(small), small), "an object, on a background of one value"


def test_clicks_outside_the_image_find_nothing() -> None:
    prompts = open_prompts(Image.of(two_discs()[0]))
    for point in ((-5.0, 10.0), (10.0, 400.0), (np.nan, 3.0)):
        assert prompts.propose(Prompt((point,))) is None


def test_a_prompt_without_marks_and_a_stack_are_refused() -> None:
    with pytest.raises(InputError, match="marks nothing"):
        open_prompts(Image.of(two_discs()[0])).propose(Prompt())
    with pytest.raises(InputError, match="one plane"):
        open_prompts(Image.of(np.zeros((4, 32, 32))))


def test_the_object_keeps_clear_of_taken_pixels_and_clicks_outside() -> None:
    image, _ = two_discs()
    taken = np.zeros(image.shape, bool)
    taken[:, 85:] = True
    prompt = Prompt((CENTRE,), ((50.0, 75.0),))
    prompts = GrownPrompts(Image.of(image))
    for given in (taken, lambda window: taken[window]):
        found = prompts.propose(prompt, taken=given)
        assert found is not None
        whole = found.whole(image.shape)
        assert whole[60, 80]
        assert not whole[50, 75]
        assert not (whole & taken).any()
    assert prompts.propose(Prompt(((60.0, 100.0),)), taken=taken) is None


def test_a_settled_object_is_one_piece_without_small_holes() -> None:
    field = np.zeros((40, 40), np.float32)
    field[5:20, 5:20] = 1
    field[10, 10] = 0
    field[30:38, 30:38] = 1
    found = settled(field, (100, 200), Prompt(((107, 207),)), None, 0.5)
    assert found is not None
    assert found.origin == (105, 205)
    assert found.mask.shape == (15, 15)
    assert found.mask.all()
    boxed = settled(field, (100, 200), Prompt(box=(100, 200, 140, 240)), None, 0.5)
    assert boxed is not None
    assert boxed.area == found.area
    narrow = Prompt(((107, 207),), box=(100, 200, 111, 240))
    part = settled(field, (100, 200), narrow, None, 0.5)
    assert part is not None
    assert part.mask.shape == (8, 15)
    beyond = settled(field, (100, 200), narrow.with_inside((118, 210)), None, 0.5)
    assert beyond is not None
    assert beyond.area == found.area


def test_a_click_that_is_not_followed_changes_the_object_as_far_as_its_outline() -> None:
    y, x = np.mgrid[:60, :80]
    field = (np.hypot(y - 30, x - 30) < 20).astype(np.float32)
    prompt = Prompt(((30.0, 16.0),))

    def given(prompt: Prompt) -> NDArray[np.bool_]:
        before = settled(field, (0, 0), Prompt(prompt.inside[:1]), None, 0.5)
        found = settled(field, (0, 0), prompt, None, 0.5, before)
        assert found is not None
        return found.whole(field.shape)

    # Ten pixels from the outline: a disc of that radius goes, and no more.
    gone = (field > 0) & ~given(prompt.with_outside((30, 40)))
    away = np.hypot(y - 30, x - 40)
    np.testing.assert_array_equal(gone, (field > 0) & (away < 10))
    # One beyond the outline comes with what is between.
    added = given(prompt.with_inside((30, 56))) & (field == 0)
    assert added[30, 56]
    np.testing.assert_array_equal(added, (field == 0) & (np.hypot(y - 30, x - 56) < 7))
    # A click of the other kind is in the way, and a stroke is no wider than it is drawn.
    assert (field > 0).sum() - given(prompt.with_outside((30, 20))).sum() < 15
    stroke = prompt.with_inside((30, 50), (30, 52), (30, 54), (30, 56))
    assert given(stroke).sum() - (field > 0).sum() < 30


def test_a_cancelled_proposal_gives_nothing() -> None:
    prompts = open_prompts(Image.of(two_discs()[0]))
    assert prompts.propose(Prompt((CENTRE,)), cancelled=lambda: True) is None


def test_a_box_keeps_the_object_within_it() -> None:
    image, truth = two_discs()
    found = GrownPrompts(Image.of(image)).propose(Prompt(box=(40, 60, 80, 100)))
    assert overlap(found, truth) > 0.8
