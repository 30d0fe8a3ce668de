"""A model's own test: its example in, and what comes out compared with what should."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.foreign.engines import Engine
from napari_unetseg.core.models_io.foreign.foreign_description import SPACE, Description, Tensor
from napari_unetseg.core.models_io.foreign.foreign_segmenter import ForeignSegmenter
from napari_unetseg.core.models_io.foreign.model_files import ModelFiles
from napari_unetseg.core.models_io.foreign.processing_steps import FittedSteps, fit_steps
from napari_unetseg.core.models_io.native.npy_arrays import read_npy

Array = NDArray[Any]

MAX_BYTES = 2**28
_SHARE = 1e-4
"""So many numbers may differ more than they may: a ReLU at its corner flips a pixel."""


@dataclass(frozen=True)
class Trial:
    """How a model's own test ended.

    Parameters
    ----------
    passed
        Whether what came out is what should.
    said
        A sentence about it.
    difference
        The largest, NaN when nothing could be compared.
    """

    passed: bool
    said: str
    difference: float


@dataclass(frozen=True)
class ModelExample:
    """An image (C, *spatial), and what a network is to make of it, (K, *spatial)."""

    image: Array
    expected: Array


def example_of(description: Description, number: int, files: ModelFiles) -> ModelExample | None:
    """Return the example that a package carries for one of its outputs.

    Raises
    ------
    InputError
        When it is damaged or not of the axes described.
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
            raise InputError(f"The example of {tensor.name!r} holds NaN or infinite numbers.")
        arrays.append(_channels_first(array, tensor))
    return ModelExample(*arrays)


def run_example(
    example: ModelExample, description: Description, number: int, engine: Engine
) -> NDArray[np.float32]:
    """Return what a network makes of the example, after all steps: (K, *spatial)."""
    image, result = description.inputs[0], description.outputs[number]
    flat = example.image.reshape(len(example.image), -1)
    raw = ForeignSegmenter(engine, image, result, number, FittedSteps(()), None)
    with np.errstate(all="ignore"):
        before = fit_steps(image, image.steps, flat)
        found = raw.run(before.apply(example.image))
        references = {image.name: np.asarray(before(flat))}
        after = fit_steps(result, result.steps, found.reshape(len(found), -1), references)
        return np.asarray(after(found), np.float32)


def compare_outputs(found: Array, expected: Array, description: Description) -> Trial:
    """Compare what came out with what should have."""
    if found.shape != expected.shape:
        said = f"the result has the shape {found.shape} where {expected.shape} is expected"
        return Trial(False, said, float("nan"))
    relative, absolute = description.tolerance
    wanted = expected.astype(np.float64)
    apart = np.abs(found - wanted)
    over = apart > absolute + relative * np.abs(wanted)
    worst = float(apart.max())
    passed = bool(np.isfinite(worst) and over.mean() <= _SHARE)
    said = f"largest difference {worst:.2g}, allowed {absolute:g} and {relative:g} of the number"
    if over.any():
        said += f"; {over.mean():.2%} of the numbers differ more"
    return Trial(passed, said, worst)


def _channels_first(array: Array, tensor: Tensor) -> Array:
    """Return the first of a batch with the channels first."""
    kinds = tensor.kinds
    if array.ndim != len(kinds):
        raise InputError(
            f"The example of {tensor.name!r} has {array.ndim} axes, not the {len(kinds)} described."
        )
    order = "c" + SPACE[-len(tensor.space) :]
    for axis in reversed([k for k, kind in enumerate(kinds) if kind not in order]):
        array = array.take(0, axis)
    left = [kind for kind in kinds if kind in order]
    if "c" not in left:
        array, left = array[None], ["c", *left]
    laid = array.transpose([left.index(kind) for kind in order])
    if len(laid) != tensor.n_channels:
        raise InputError(
            f"The example of {tensor.name!r} has {len(laid)} channels, not the "
            f"{tensor.n_channels} described."
        )
    return laid


__all__ = ["ModelExample", "Trial", "compare_outputs", "example_of", "run_example"]
