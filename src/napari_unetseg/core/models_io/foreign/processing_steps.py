"""Apply the pre- and postprocessing steps of the bioimage.io format.

Once its statistics are fitted to the whole image, every step is a function of single pixels, so
a tile is processed like the whole image. Arrays have the channels first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.foreign.foreign_description import ProcessingStep, Tensor

Array = NDArray[Any]
Pointwise = Callable[[Array], Array]

_TYPES = {
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("float32", "float64", "bool"),
}
_EPSILON = 1e-6


@dataclass(frozen=True)
class FittedSteps:
    """Apply steps with fitted statistics.

    Parameters
    ----------
    functions
        One function per step, which maps (C, *any) to (C, *any).
    """

    functions: tuple[Pointwise, ...]

    def __call__(self, array: Array) -> Array:
        """Apply all steps to (C, *any)."""
        for function in self.functions:
            array = function(array)
        return array

    def apply(self, block: Array) -> NDArray[np.float32]:
        """Apply all steps to a block (C, *spatial); NaN becomes 0, the result is float32."""
        if block.dtype.kind == "f":
            block = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
        with np.errstate(all="ignore"):
            done: NDArray[np.float32] = np.asarray(self(block), np.float32)
        return done


def check_steps(tensor: Tensor, steps: Sequence[ProcessingStep]) -> None:
    """Check that every step is supported and valid for a tensor.

    Raises
    ------
    InputError
        When a step is not; the message names it.
    """
    sample = np.stack([np.linspace(0, 1, 7)] * tensor.n_channels)
    fit_steps(tensor, steps, sample, {tensor.name: sample, "": sample})


def needs_whole(steps: Sequence[ProcessingStep]) -> bool:
    """Return whether a step needs statistics of its whole input."""
    clipped = ("min_percentile", "max_percentile")
    return any(
        step.name in _STATISTICS or (step.name == "clip" and set(clipped) & set(step.options))
        for step in steps
    )


def fit_steps(
    tensor: Tensor,
    steps: Sequence[ProcessingStep],
    sample: Array,
    references: Mapping[str, Array] | None = None,
) -> FittedSteps:
    """Fit the statistics of steps.

    Parameters
    ----------
    tensor
        The tensor that they process.
    steps
        The steps in order.
    sample
        (C, n): all pixels of an image, or evenly spaced ones, before the steps.
    references
        Samples of other tensors, by name, after their own steps.

    Raises
    ------
    InputError
        When a step is not supported or invalid.
    """
    functions = []
    for step in steps:
        maker = _STEPS.get(step.name)
        if maker is None:
            raise InputError(
                f"The processing step {step.name[:60]!r} of {tensor.name!r} is not supported. "
                f"Supported are: {', '.join(sorted(_STEPS))}."
            )
        try:
            samples = {**(references or {}), tensor.name: sample}
            with np.errstate(all="ignore"):
                function = maker(_Options(tensor, step), sample, samples)
                sample = function(sample)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise _invalid_step(tensor, step, "its options are invalid") from error
        functions.append(function)
    return FittedSteps(tuple(functions))


class _Options:
    """Read and check the options of one step."""

    def __init__(self, tensor: Tensor, step: ProcessingStep) -> None:
        self._tensor, self._step = tensor, step

    def number(self, name: str, default: float | None = None) -> float:
        value = self._step.options.get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not np.isfinite(value):
            raise _invalid_step(self._tensor, self._step, f"{name} is {str(value)[:40]}")
        return float(value)

    def optional(self, name: str) -> float | None:
        return None if self._step.options.get(name) is None else self.number(name)

    def text(self, name: str, default: str = "") -> str:
        return str(self._step.options.get(name, default))

    def numbers(self, name: str, default: float | None = None) -> Any:
        """Read a number, or an array with one number per channel."""
        values = self._step.options.get(name, default)
        if not isinstance(values, list | tuple):
            return self.number(name, default)
        n = self._tensor.n_channels
        axis = self.text("axis", "channel")
        plain = all(isinstance(v, int | float) and np.isfinite(v) for v in values)
        if axis != "channel" or len(values) not in (1, n) or not plain:
            raise _invalid_step(
                self._tensor, self._step, f"{name} is not a number for each of {n} channels"
            )
        return np.array(values, np.float64)

    def per_channel(self) -> bool:
        """Return whether statistics are per channel rather than over all channels."""
        axes = self._step.options.get("axes")
        if axes is None:
            return self._tensor.n_channels == 1
        names = {str(axis) for axis in axes}
        missing = [axis.kind for axis in self._tensor.space if axis.kind not in names]
        if missing:
            raise InputError(
                f"The step {self._step.name!r} of {self._tensor.name!r} takes statistics of each "
                f"line along {missing[0]} separately, which is not supported."
            )
        return "channel" not in names

    def quantiles(self, sample: Array, shares: Sequence[float]) -> list[Any]:
        """Compute percentiles, per channel or over all channels."""
        if not all(0 <= share <= 100 for share in shares):
            raise _invalid_step(self._tensor, self._step, f"the percentiles are {list(shares)}")
        if self.per_channel():
            return list(np.percentile(sample, list(shares), axis=1))
        return [float(q) for q in np.percentile(sample, list(shares))]

    def moments(self, sample: Array) -> tuple[Any, Any]:
        """Compute mean and standard deviation, per channel or over all channels."""
        axis = 1 if self.per_channel() else None
        numbers = sample.astype(np.float64)
        return numbers.mean(axis=axis), numbers.std(axis=axis)


def _column(numbers: Any, array: Array) -> Any:
    """Shape numbers per channel to broadcast over an array, in its float type or float32."""
    dtype = array.dtype if array.dtype.kind == "f" else np.dtype(np.float32)
    column = np.asarray(numbers, dtype)
    return column.reshape(-1, *(1,) * (array.ndim - 1)) if column.ndim else column


def _affine(offset: Any, divisor: Any, gain: Any = 1.0, then: Any = 0.0) -> Pointwise:
    """Make the function ``(x - offset) / divisor * gain + then``, per channel or scalar."""

    def function(array: Array) -> Array:
        first = (array - _column(offset, array)) / _column(divisor, array)
        return np.asarray(first * _column(gain, array) + _column(then, array))

    return function


def _ensure_dtype(options: _Options, sample: Array, samples: Any) -> Pointwise:
    name = options.text("dtype")
    if name not in _TYPES:
        raise InputError(f"The step 'ensure_dtype' asks for the type {name[:40]!r}.")

    def function(array: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return array.astype(name)

    return function


def _binarize(options: _Options, sample: Array, samples: Any) -> Pointwise:
    threshold = options.numbers("threshold")
    return lambda array: (array > _column(threshold, array)).astype(np.float32)


def _clip(options: _Options, sample: Array, samples: Any) -> Pointwise:
    low, high = options.optional("min"), options.optional("max")
    for name, at in (("min_percentile", 0), ("max_percentile", 1)):
        share = options.optional(name)
        if share is not None:
            (value,) = options.quantiles(sample, [share])
            low, high = (value, high) if at == 0 else (low, value)

    def function(array: Array) -> Array:
        ends = (None if end is None else _column(end, array) for end in (low, high))
        return np.clip(array, *ends)

    return function


def _scale_linear(options: _Options, sample: Array, samples: Any) -> Pointwise:
    return _affine(0.0, 1.0, options.numbers("gain", 1.0), options.numbers("offset", 0.0))


def _scale_range(options: _Options, sample: Array, samples: Any) -> Pointwise:
    shares = options.number("min_percentile", 0.0), options.number("max_percentile", 100.0)
    if shares[0] >= shares[1]:
        raise ValueError(shares)
    name = options.text("reference_tensor")
    reference = samples[name] if name not in ("", "None") else sample
    low, high = options.quantiles(reference, shares)
    return _affine(low, high - low + options.number("eps", _EPSILON))


def _zero_mean(options: _Options, sample: Array, samples: Any) -> Pointwise:
    mean, spread = options.moments(sample)
    return _affine(mean, spread + options.number("eps", _EPSILON))


def _fixed_zero_mean(options: _Options, sample: Array, samples: Any) -> Pointwise:
    mean, spread = options.numbers("mean"), options.numbers("std")
    if np.min(spread) <= 0:
        raise ValueError(spread)
    return _affine(mean, spread)


def _scale_mean_variance(options: _Options, sample: Array, samples: Any) -> Pointwise:
    mean, spread = options.moments(sample)
    target_mean, target_spread = options.moments(samples[options.text("reference_tensor")])
    eps = options.number("eps", _EPSILON)
    return _affine(mean, spread + eps, target_spread + eps, target_mean)


def _sigmoid(options: _Options, sample: Array, samples: Any) -> Pointwise:
    return lambda array: np.asarray(scipy.special.expit(_floats(array)))


def _softmax(options: _Options, sample: Array, samples: Any) -> Pointwise:
    if options.text("axis", "channel") != "channel":
        raise InputError("The step 'softmax' is only supported along the channels.")
    return lambda array: np.asarray(scipy.special.softmax(_floats(array), axis=0))


def _floats(array: Array) -> Array:
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def _invalid_step(tensor: Tensor, step: ProcessingStep, why: str) -> InputError:
    return InputError(f"The step {step.name[:60]!r} of {tensor.name!r} cannot be used: {why}.")


_STEPS: dict[str, Callable[[_Options, Array, Mapping[str, Array]], Pointwise]] = {
    "ensure_dtype": _ensure_dtype,
    "binarize": _binarize,
    "clip": _clip,
    "scale_linear": _scale_linear,
    "scale_range": _scale_range,
    "zero_mean_unit_variance": _zero_mean,
    "fixed_zero_mean_unit_variance": _fixed_zero_mean,
    "scale_mean_variance": _scale_mean_variance,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
}
_STATISTICS = {"scale_range", "zero_mean_unit_variance", "scale_mean_variance"}

__all__ = ["FittedSteps", "check_steps", "fit_steps", "needs_whole"]
