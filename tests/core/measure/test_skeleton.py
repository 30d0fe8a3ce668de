"""Skeletons: lengths and branches of lines that were drawn."""

import math

import numpy as np
import pytest
from skimage.draw import disk, line
from skimage.morphology import dilation
from skimage.morphology import disk as footprint

from napari_unetseg.core.image import Image
from napari_unetseg.core.measure import MeasureOptions, measure

OPTIONS = MeasureOptions(skeleton=True, outline=False)


def drawn(*lines, shape=(120, 120)):
    canvas = np.zeros(shape, np.uint8)
    for ends in lines:
        canvas[line(*ends)] = 1
    return canvas


def facts(canvas, spacing=None, **options):
    chosen = OPTIONS.model_copy(update=options)
    table = measure(
        Image.of(canvas, spacing=spacing or (1,) * canvas.ndim, unit="µm"), options=chosen
    )
    names = ("branches", "end_points", "branch_points")
    return table["skeleton_length_um"][0], *(int(table[name][0]) for name in names)


@pytest.mark.parametrize("angle", range(0, 180, 15))
def test_a_line_is_as_long_as_it_is_whatever_its_direction(angle):
    turn = math.radians(angle)
    end = (60 + round(50 * math.sin(turn)), 60 + round(50 * math.cos(turn)))
    length, *counts = facts(drawn((60, 60, *end)))
    assert length == pytest.approx(math.dist((60, 60), end), rel=0.015)
    assert counts == [1, 2, 0]


def test_a_thick_line_ends_half_its_width_before():
    length, *counts = facts(dilation(drawn((20, 20, 90, 80)), footprint(4)), spurs=5)
    assert length == pytest.approx(math.dist((20, 20), (90, 80)), rel=0.06)
    assert counts == [1, 2, 0]


def test_lengths_are_physical():
    canvas = drawn((10, 10, 10, 60))
    assert facts(canvas, (3.0, 0.5))[0] == pytest.approx(25)
    assert facts(canvas.T, (3.0, 0.5))[0] == pytest.approx(150)
    assert facts(drawn((10, 10, 60, 60)), (2.0, 0.5))[0] == pytest.approx(50 * math.hypot(2, 0.5))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([(60, 10, 60, 110), (60, 60, 110, 60)], (3, 3, 1)),  # T
        ([(60, 10, 60, 110), (10, 60, 110, 60)], (4, 4, 1)),  # +
        ([(10, 10, 110, 110), (110, 10, 10, 110)], (4, 4, 1)),  # x
        ([(10, 30, 110, 30), (10, 70, 110, 70), (60, 30, 60, 70)], (5, 4, 2)),  # H
        ([(60, 20, 60, 100), (60, 60, 20, 100), (60, 40, 100, 40)], (5, 4, 2)),
        ([(20, 20, 20, 90), (20, 90, 90, 90), (90, 90, 90, 20), (90, 20, 20, 20)], (1, 0, 0)),
    ],
)
def test_branches_ends_and_forks(lines, expected):
    length, *counts = facts(drawn(*lines))
    assert tuple(counts) == expected
    known = sum(math.dist(ends[:2], ends[2:]) for ends in lines)
    assert length == pytest.approx(known, rel=0.03)


def test_a_ring_is_one_branch_without_ends():
    canvas = np.zeros((120, 120), np.uint8)
    canvas[disk((60, 60), 43)], canvas[disk((60, 60), 40)] = 1, 0
    length, *counts = facts(canvas)
    assert length == pytest.approx(2 * math.pi * 41, rel=0.03)
    assert counts == [1, 0, 0]


def test_short_spurs_are_left_out_and_long_branches_are_not():
    canvas = drawn((60, 10, 60, 110), (60, 40, 56, 40), (60, 70, 30, 70))
    assert facts(canvas)[1:] == (5, 4, 2)
    length, *counts = facts(canvas, spurs=6)
    assert counts == [3, 3, 1]
    assert length == pytest.approx(130, rel=0.02)
    # Of a fork at an end only the shorter tine goes.
    fork = drawn((60, 10, 60, 60), (60, 60, 57, 63), (60, 60, 64, 64))
    assert facts(fork, spurs=8)[1:] == (1, 2, 0)


def test_in_a_volume():
    volume = np.zeros((30, 40, 50), np.uint8)
    volume[15, 20, 5:46] = 1
    volume[5:26, 20, 25] = 1
    length, *counts = facts(volume, (2.0, 1.0, 0.5))
    assert length == pytest.approx(40 * 0.5 + 20 * 2, rel=0.02)
    assert counts == [4, 4, 1]


def test_each_object_has_its_own():
    canvas = drawn((10, 10, 10, 60)).astype(int)
    canvas[11, 10:61] = 7
    canvas[50:53, 50:53] = 9
    table = measure(Image.of(canvas), options=OPTIONS)
    assert table["skeleton_length_px"] == pytest.approx([50, 50, 0], abs=2)
