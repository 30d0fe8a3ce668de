"""Run a model's own test: predict its example and compare with the expected output."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.foreign.engines import Engine
from napari_unetseg.core.models_io.foreign.foreign_description import SPACE, Description, Tensor
from napari_unetseg.core.models_io.foreign.foreign_segmenter import ForeignSegmenter
from napari_unetseg.core.models_io.foreign.processing_steps import FittedSteps, fit_steps
from napari_unetseg.core.models_io.native.model_files import ModelFiles
from napari_unetseg.core.models_io.native.npy_arrays import read_npy

Array = NDArray[Any]

MAX_BYTES = 2**28
_SHARE = 1e-4
"""Share of numbers that may exceed the tolerance: a ReLU near zero may flip a pixel."""


@dataclass(frozen=True)
class ModelTestResult:
    """Hold the result of a model's own test.

    Parameters
    ----------
    passed
        Whether the output equals the expected one within the tolerance.
    summary
        A phrase about the result.
    difference
        The largest difference; NaN if the shapes differ.
    """

    passed: bool
    summary: str
    difference: float


@dataclass(frozen=True)
class ModelExample:
    """Hold an example image (C, *spatial) and its expected output, (K, *spatial)."""

    image: Array
    expected: Array


def read_example(description: Description, number: int, files: ModelFiles) -> ModelExample | None:
    """Read the example of a package for one of its outputs; None if there is none.

    Raises
    ------
    InputError
        When it is damaged or does not have the described axes.
    """
    image, result = description.inputs[0], description.outputs[number]
    if image.test is None or result.test is None:
        return None
    arrays = []
    for tensor in (image, result):
        link = tensor.test
        if link is None or not link.is_here:
            return None
        raw = link.read(files, MAX_BYTES)
        array = read_npy(raw, f"The example of {tensor.name}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(
                f"The example of {tensor.name!r} contains NaN or infinite numbers. Get it again."
            )
        arrays.append(_channels_first(array, tensor))
    return ModelExample(*arrays)


def run_example(
    example: ModelExample, description: Description, number: int, engine: Engine
) -> NDArray[np.float32]:
    """Predict the example, with pre- and postprocessing: (K, *spatial)."""
    image, result = description.inputs[0], description.outputs[number]
    flat = example.image.reshape(len(example.image), -1)
    raw = ForeignSegmenter(engine, image, result, number, FittedSteps(()), None)
    with np.errstate(all="ignore"):
        before = fit_steps(image, image.steps, flat)
        output = raw.run(before.apply(example.image))
        references = {image.name: np.asarray(before(flat))}
        after = fit_steps(result, result.steps, output.reshape(len(output), -1), references)
        return np.asarray(after(output), np.float32)


def compare_outputs(output: Array, expected: Array, description: Description) -> ModelTestResult:
    """Compare an output with the expected one."""
    if output.shape != expected.shape:
        summary = f"the result has the shape {output.shape} where {expected.shape} is expected"
        return ModelTestResult(False, summary, float("nan"))
    relative, absolute = description.tolerance
    reference = expected.astype(np.float64)
    difference = np.abs(output - reference)
    too_far = difference > absolute + relative * np.abs(reference)
    worst = float(difference.max())
    passed = bool(np.isfinite(worst) and too_far.mean() <= _SHARE)
    summary = f"largest difference {worst:.2g}, allowed {absolute:g} and {relative:g} of the number"
    if too_far.any():
        summary += f"; {too_far.mean():.2%} of the numbers differ more"
    return ModelTestResult(passed, summary, worst)


def _channels_first(array: Array, tensor: Tensor) -> Array:
    """Return the first item of a batch with the channels first."""
    kinds = tensor.kinds
    if array.ndim != len(kinds):
        raise InputError(
            f"The example of {tensor.name!r} has {array.ndim} axes, not the {len(kinds)} described."
        )
    order = "c" + SPACE[-len(tensor.space) :]
    for axis in reversed([k for k, kind in enumerate(kinds) if kind not in order]):
        array = array.take(0, axis)
    kept_axes = [kind for kind in kinds if kind in order]
    if "c" not in kept_axes:
        array, kept_axes = array[None], ["c", *kept_axes]
    ordered = array.transpose([kept_axes.index(kind) for kind in order])
    if len(ordered) != tensor.n_channels:
        raise InputError(
            f"The example of {tensor.name!r} has {len(ordered)} channels, not the "
            f"{tensor.n_channels} described."
        )
    return ordered


__all__ = ["ModelExample", "ModelTestResult", "compare_outputs", "read_example", "run_example"]
