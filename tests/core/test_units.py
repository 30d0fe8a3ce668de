"""Units: every axis in its own, converted to one."""

import numpy as np
import pytest

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.units import calibration_of, length_in, metres_of, seconds_in, symbol_of


@pytest.mark.parametrize(
    ("steps", "units", "spacing", "unit", "assumed"),
    [
        (
            {"Z": 1.5, "Y": 325, "X": 325},
            {"Z": "um", "Y": "nm", "X": "nm"},
            (1500, 325, 325),
            "nm",
            "",
        ),
        (
            {"Z": 2000, "Y": 0.25, "X": 0.5},
            {"Z": "nm", "Y": "µm", "X": "µm"},
            (2, 0.25, 0.5),
            "µm",
            "",
        ),
        ({"Y": 250, "X": 0.5}, {"Y": "nm", "X": "micron"}, (0.5, 0.25, 0.5), "µm", "Z"),
        ({"Z": 2, "X": 0.5}, {"Z": "µm", "X": "µm"}, (2, 0.5, 0.5), "µm", ""),
        ({"Z": 2, "Y": 0.5}, {"Z": "µm", "Y": "µm"}, (2, 0.5, 0.5), "µm", ""),
        ({"Z": 2, "Y": 0.5, "X": 0.5}, {"Y": "µm", "X": "µm"}, (0.5, 0.5, 0.5), "µm", "Z"),
        ({"Z": 3, "Y": 1, "X": 1}, {}, (3, 1, 1), "pixel", ""),
        ({"Z": 3}, {"Z": "µm"}, (1, 1, 1), "pixel", ""),
        ({"Z": 3, "X": 2}, {"Z": "foot", "X": "µm"}, (2, 2, 2), "µm", "Z"),
        ({"Z": 3, "X": 2}, {"Z": "lp", "X": "lp"}, (3, 2, 2), "lp", ""),
        ({"Z": 0, "X": float("nan"), "Y": 1}, {"Y": "µm", "X": "µm"}, (1, 1, 1), "µm", "Z"),
    ],
)
def test_every_axis_in_its_own_unit(steps, units, spacing, unit, assumed):
    found = calibration_of("ZYX", steps, units)
    assert (found["spacing"], found["unit"], found["assumed"]) == (spacing, unit, assumed)
    unusual = bool(assumed) or unit == "lp" or (unit == "pixel" and bool(units))
    assert bool(found["notes"]) == unusual


@pytest.mark.parametrize(
    ("step", "unit", "seconds"), [(250, "ms", 0.25), (2, "min", 120), (1, "px", 0)]
)
def test_time_has_its_own_unit(step, unit, seconds):
    assert calibration_of("TYX", {"T": step}, {"T": unit})["interval"] == seconds
    assert seconds_in(step, unit) == seconds


def test_lengths_are_exact():
    assert length_in(1.5, "µm", "nm") == 1500.0
    assert length_in(2000, "nm", "µm") == 2.0
    assert length_in(1, "inch", "mm") == 25.4
    assert length_in(1, "s", "µm") is None
    assert metres_of(symbol_of("Inches")) == 0.0254


def test_an_image_like_another_keeps_the_calibration_of_its_axes():
    image = Image(np.zeros((2, 3, 4, 5)), "TZYX", (2.0, 0.5, 0.5), "µm", interval=3.0, assumed="Z")
    stack = image.like(np.zeros((3, 4, 5)), "ZYX")
    assert (stack.spacing, stack.interval, stack.assumed) == ((2.0, 0.5, 0.5), 0.0, "Z")
    movie = image.like(np.zeros((2, 4, 5)), "TYX")
    assert (movie.spacing, movie.interval, movie.assumed) == ((0.5, 0.5), 3.0, "")


def test_a_time_that_runs_backwards_is_refused():
    with pytest.raises(InputError, match="-1"):
        Image(np.zeros((2, 4, 5)), "TYX", interval=-1.0)
