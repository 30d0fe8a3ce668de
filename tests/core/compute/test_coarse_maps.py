"""Interpolated features: the same at single pixels, in windows and for a whole block."""

import numpy as np
import pytest

from napari_unetseg.core.compute.coarse_maps import CoarseMaps, MixedInputs

SIDES = (37, 50)


def maps(seed: int = 0, step: int = 4, ndim: int = 2) -> CoarseMaps:
    rng = np.random.default_rng(seed)
    points = [-(-side // step) for side in SIDES]
    flat = (3,) * (ndim - 2)
    values = rng.random((5, *flat, *points), dtype=np.float32)
    middle = (step - 1) / 2
    return CoarseMaps(
        values, (*(1 for _ in flat), step, step), (*(0.0 for _ in flat), *(middle,) * 2)
    )


def test_a_ramp_stays_a_ramp_between_the_middles_of_boxes() -> None:
    values = np.arange(10, dtype=np.float32)[None, None].repeat(3, 1)
    found = CoarseMaps(values, (4, 4), (1.5, 1.5)).enlarged((12, 40))
    expected = (np.arange(40) - 1.5) / 4
    np.testing.assert_allclose(found[0, 5, 2:38], expected[2:38], atol=1e-6)
    np.testing.assert_array_equal(found[0, 5, :2], 0)
    np.testing.assert_array_equal(found[0, 5, 38:], 9)


@pytest.mark.parametrize("ndim", [2, 3])
def test_single_pixels_are_those_of_the_whole(ndim: int) -> None:
    coarse, sides = maps(ndim=ndim), (3, *SIDES)[-ndim:]
    whole = coarse.enlarged(sides).reshape(5, -1)
    pixels = np.random.default_rng(1).integers(0, whole.shape[1], 60)
    found = coarse.at(np.unravel_index(pixels, sides))
    np.testing.assert_allclose(found, whole[:, pixels], atol=1e-6)


def test_a_window_is_that_part_of_the_whole() -> None:
    coarse = maps()
    region = (slice(5, 22), slice(31, 50))
    window = coarse.window(region)
    assert window.values.size < coarse.values.size
    np.testing.assert_allclose(
        window.enlarged((17, 19)), coarse.enlarged(SIDES)[(slice(None), *region)], atol=1e-6
    )


def test_inputs_keep_their_order_in_rows_and_in_the_whole() -> None:
    dense = np.random.default_rng(2).random((3, *SIDES), dtype=np.float32)
    mixed = MixedInputs(dense, (maps(), maps(1, 8)), 2)
    whole = mixed.whole()
    np.testing.assert_array_equal(whole[:2], dense[:2])
    np.testing.assert_array_equal(whole[-1], dense[2])
    pixels = np.arange(0, 1850, 7)
    np.testing.assert_allclose(mixed.rows(pixels), whole.reshape(len(whole), -1)[:, pixels].T)


def test_blocks_pasted_together_are_the_whole() -> None:
    dense = np.random.default_rng(3).random((2, *SIDES), dtype=np.float32)
    mixed = MixedInputs(dense, (maps(), maps(1, 8)), 1)
    out = mixed.empty(SIDES)
    for rows in (slice(0, 16), slice(16, 37)):
        for columns in (slice(0, 24), slice(24, 50)):
            # A block begins at the grid, before the region.
            top, left = max(rows.start - 8, 0), max(columns.start - 8, 0)
            part = MixedInputs(
                dense[:, top:, left:],
                tuple(
                    CoarseMaps(m.values[:, top // s :, left // s :], m.step, m.first)
                    for m, s in ((mixed.coarse[0], 4), (mixed.coarse[1], 8))
                ),
                1,
            )
            inside = (
                slice(rows.start - top, rows.stop - top),
                slice(columns.start - left, columns.stop - left),
            )
            out.paste(part, (rows, columns), inside)
    np.testing.assert_array_equal(out.whole(), mixed.whole())
