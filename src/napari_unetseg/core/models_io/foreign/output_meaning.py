"""Interpret a network's outputs: class probabilities, and maps that separate objects."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.foreign.foreign_description import ProcessingStep, Tensor
from napari_unetseg.core.objects.decoders import DecoderSpec

Array = NDArray[Any]
Meaning = Literal["foreground", "objects", "independent", "shares"]
Squash = Literal["none", "sigmoid", "softmax"]

BOUNDARY = re.compile("bound|border|edge|contour|membran|outline", re.IGNORECASE)
"""Names of a network's channel for object boundaries."""

_RANGE = 1e-3


@dataclass(frozen=True)
class Head:
    """Convert a network's postprocessed outputs (K, *spatial) to probabilities.

    Parameters
    ----------
    meaning
        ``foreground`` for one channel; ``objects`` for a channel of foreground and one of
        boundaries; ``independent`` for several that need not add up to one; ``shares`` for those
        that do.
    names
        Names of the channels.
    squash
        Function still to be applied, if the outputs are class scores (logits).
    """

    meaning: Meaning
    names: tuple[str, ...]
    squash: Squash = "none"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        if self.meaning == "shares":
            return self.names
        if self.meaning == "objects":
            return ("background", self.names[self._front])
        return ("background", *self.names)

    @property
    def values(self) -> tuple[int, ...]:
        """Label value of each class: the first is the background."""
        return tuple(range(len(self.classes)))

    @property
    def decoder(self) -> DecoderSpec | None:
        """The decoder that separates touching objects."""
        return DecoderSpec(decoding="boundary") if self.meaning == "objects" else None

    def apply(self, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the probability of each class, then the decoder's map."""
        p = np.clip(_SQUASH[self.squash](np.nan_to_num(numbers)), 0, 1)
        if self.meaning == "foreground":
            channels = [1 - p, p]
        elif self.meaning == "objects":
            front = p[self._front][None]
            channels = [1 - front, front, p[1 - self._front][None]]
        elif self.meaning == "independent":
            shares = np.concatenate([np.prod(1 - p, axis=0, keepdims=True), p])
            channels = [shares / np.maximum(shares.sum(axis=0), 1e-9)]
        else:
            channels = [p]
        return np.ascontiguousarray(np.concatenate(channels), np.float32)

    @property
    def _front(self) -> int:
        return int(bool(BOUNDARY.search(self.names[0])))


def interpret_output(
    output: Tensor, expected: Array | None = None, *, squash: Squash | None = None
) -> Head:
    """Determine the meaning of an output.

    Parameters
    ----------
    output
        The output, with its postprocessing.
    expected
        (K, n): an example of the output, used if the description does not define the meaning.
    squash
        Function that converts class scores to probabilities, if given.

    Raises
    ------
    InputError
        When the outputs are not probabilities but labels, distances or flows.
    """
    n, names = output.n_channels, output.channel_names or (output.name,)
    last = _last_defining_step(output.steps)
    if last in ("sigmoid", "binarize"):
        return _independent(n, names, "none")
    if last == "softmax":
        return Head("shares", names) if n > 1 else _independent(n, names, "none")
    if squash == "none" or (squash is None and expected is not None and _within_one(expected)):
        adds_up = expected is not None and n > 1 and np.allclose(expected.sum(axis=0), 1, atol=0.02)
        return Head("shares", names) if adds_up else _independent(n, names, "none")
    if output.dtype.removeprefix("u").startswith("int"):
        raise InputError(
            f"The result {output.name!r} consists of integers, like labels: only networks that "
            "return probabilities can be used."
        )
    if n == 1 or squash == "sigmoid":
        return _independent(n, names, "sigmoid")
    return Head("shares", names, "softmax")


def _independent(n: int, names: Sequence[str], squash: Squash) -> Head:
    if n == 1:
        name = names[0] if names[0] not in ("background", "output") else "foreground"
        return Head("foreground", (name,), squash)
    edges = [bool(BOUNDARY.search(name)) for name in names]
    meaning: Meaning = "objects" if n == 2 and sum(edges) == 1 else "independent"
    return Head(meaning, tuple(names), squash)


def _last_defining_step(steps: Sequence[ProcessingStep]) -> str:
    """Return the name of the last step that defines the kind of numbers."""
    defining = [step.name for step in steps if step.name not in ("ensure_dtype", "clip")]
    return defining[-1] if defining else ""


def _within_one(numbers: Array) -> bool:
    return bool(numbers.min() >= -_RANGE and numbers.max() <= 1 + _RANGE)


_SQUASH = {
    "none": lambda numbers: numbers,
    "sigmoid": lambda numbers: scipy.special.expit(numbers),
    "softmax": lambda numbers: scipy.special.softmax(numbers, axis=0),
}

__all__ = ["BOUNDARY", "Head", "Squash", "interpret_output"]
