"""Pre- and postprocessing: the numbers that the format's formulas give, tile by tile as at once."""

from typing import Any

import numpy as np
import pytest
from scipy import special

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.foreign.foreign_description import Axis, ProcessingStep, Tensor
from napari_unetseg.core.models_io.foreign.processing_steps import (
    check_steps,
    fit_steps,
    needs_whole,
)

IMAGE = np.random.default_rng(0).normal(5, 3, (2, 12, 10)).astype(np.float32)
FLAT = IMAGE.reshape(2, -1)
TENSOR = Tensor("raw", (Axis("batch"), Axis("channel", 2, 0), Axis("y", 8, 4), Axis("x", 8, 4)))
EACH = {"axes": ["y", "x"]}
ALL = {"axes": ["channel", "y", "x"]}


def column(numbers: Any) -> Any:
    return np.asarray(numbers)[:, None, None]


MEAN, SPREAD = column(FLAT.mean(1)), column(FLAT.std(1))
LOW, HIGH = (column(q) for q in np.percentile(FLAT, [5, 90], axis=1))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("ensure_dtype", {"dtype": "int16"}, IMAGE.astype(np.int16)),
        ("binarize", {"threshold": 5.0}, IMAGE > 5),
        ("binarize", {"threshold": [4.0, 6.0], "axis": "channel"}, column([4, 6]) < IMAGE),
        ("clip", {"min": 4.0}, IMAGE.clip(4)),
        ("clip", {"min": 4.0, "max": 6.0}, IMAGE.clip(4, 6)),
        ("clip", {"max_percentile": 90, **EACH}, np.minimum(IMAGE, HIGH)),
        ("scale_linear", {"gain": 2.0, "offset": -1.0}, IMAGE * 2 - 1),
        ("scale_linear", {"gain": [2.0, 3.0], "axis": "channel"}, IMAGE * column([2, 3])),
        ("sigmoid", {}, special.expit(IMAGE)),
        ("softmax", {"axis": "channel"}, special.softmax(IMAGE, axis=0)),
        ("fixed_zero_mean_unit_variance", {"mean": 5.0, "std": 2.0}, (IMAGE - 5) / 2),
        (
            "fixed_zero_mean_unit_variance",
            {"mean": [1.0, 2.0], "std": [3.0, 4.0], "axis": "channel"},
            (IMAGE - column([1, 2])) / column([3, 4]),
        ),
        ("zero_mean_unit_variance", EACH, (IMAGE - MEAN) / (SPREAD + 1e-6)),
        (
            "zero_mean_unit_variance",
            {**ALL, "eps": 0.1},
            (IMAGE - FLAT.mean()) / (FLAT.std() + 0.1),
        ),
        ("zero_mean_unit_variance", {}, (IMAGE - FLAT.mean()) / (FLAT.std() + 1e-6)),
        (
            "scale_range",
            {**EACH, "min_percentile": 5, "max_percentile": 90},
            (IMAGE - LOW) / (HIGH - LOW + 1e-6),
        ),
        ("scale_range", ALL, (IMAGE - FLAT.min()) / (np.ptp(FLAT) + 1e-6)),
        (
            "scale_mean_variance",
            {**EACH, "reference_tensor": "other"},
            (IMAGE - MEAN) / (SPREAD + 1e-6) * (2 * SPREAD + 1e-6) + 2 * MEAN,
        ),
    ],
)
def test_every_step_follows_its_formula_and_tiles_agree(
    name: str, options: dict[str, Any], expected: Any
) -> None:
    fitted = fit_steps(TENSOR, [ProcessingStep(name, options)], FLAT, {"other": 2 * FLAT})
    np.testing.assert_allclose(fitted(IMAGE), expected, rtol=1e-4, atol=1e-4)
    tile = (slice(None), slice(3, 8), slice(2, 9))
    np.testing.assert_array_equal(fitted(IMAGE[tile]), np.asarray(fitted(IMAGE))[tile])
    told = name.startswith(("zero", "scale_range", "scale_mean")) or "max_percentile" in options
    assert needs_whole([ProcessingStep(name, options)]) == told


def test_steps_follow_each_other() -> None:
    steps = [ProcessingStep("clip", {"min": 4.0}), ProcessingStep("zero_mean_unit_variance", EACH)]
    clipped = IMAGE.clip(4)
    flat = clipped.reshape(2, -1)
    expected = (clipped - column(flat.mean(1))) / (column(flat.std(1)) + 1e-6)
    np.testing.assert_allclose(
        fit_steps(TENSOR, steps, FLAT)(IMAGE), expected, rtol=1e-4, atol=1e-5
    )


def test_what_is_no_number_in_an_image_becomes_nothing() -> None:
    image = IMAGE.copy()
    image[0, 0, 0] = np.nan
    fitted = fit_steps(TENSOR, [ProcessingStep("zero_mean_unit_variance", EACH)], FLAT)
    assert np.isfinite(fitted.apply(image)).all()
    assert fitted.apply(image).dtype == np.float32


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (ProcessingStep("custom"), "'custom'"),
        (ProcessingStep("stardist_postprocessing", {"n_rays": 32}), "stardist_postprocessing"),
        (ProcessingStep("ensure_dtype", {"dtype": "object"}), "object"),
        (ProcessingStep("scale_linear", {"gain": [1.0, 2.0, 3.0]}), "each of 2 channels"),
        (ProcessingStep("scale_linear", {"gain": [1.0, 2.0], "axis": "x"}), "each of 2 channels"),
        (ProcessingStep("scale_linear", {"gain": "much"}), "gain is much"),
        (
            ProcessingStep("fixed_zero_mean_unit_variance", {"mean": 1.0, "std": 0.0}),
            "are invalid",
        ),
        (
            ProcessingStep("scale_range", {**EACH, "min_percentile": 120}),
            "percentiles|are invalid",
        ),
        (ProcessingStep("scale_range", {**EACH, "reference_tensor": "none such"}), "are invalid"),
        (ProcessingStep("zero_mean_unit_variance", {"axes": ["y"]}), "each line along x"),
        (ProcessingStep("zero_mean_unit_variance", {"axes": 7}), "are invalid"),
        (ProcessingStep("softmax", {"axis": "x"}), "only supported along"),
    ],
)
def test_what_makes_no_sense_is_named(step: ProcessingStep, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_steps(TENSOR, [step])
