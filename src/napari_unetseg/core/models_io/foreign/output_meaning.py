"""What a network's numbers mean: probabilities of classes, and what parts objects."""

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
"""What the channel of a network is called that says where objects touch."""

_RANGE = 1e-3


@dataclass(frozen=True)
class Head:
    """How a network's processed numbers (K, *spatial) become probabilities.

    Parameters
    ----------
    meaning
        Of one channel: ``foreground``. Of a channel for foreground and one for boundaries:
        ``objects``. Of several that need not add up to one: ``independent``. Of those that do:
        ``shares``.
    names
        Of the channels.
    squash
        What is still to be applied, since the description leaves evidence as it is.
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
        """Value of each class in labels: the first is the background."""
        return tuple(range(len(self.classes)))

    @property
    def decoder(self) -> DecoderSpec | None:
        """What parts objects that touch."""
        return DecoderSpec(decoding="boundary") if self.meaning == "objects" else None

    def apply(self, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of each class, then the decoder's map."""
        p = np.clip(_SQUASH[self.squash](np.nan_to_num(numbers)), 0, 1)
        if self.meaning == "foreground":
            found = [1 - p, p]
        elif self.meaning == "objects":
            front = p[self._front][None]
            found = [1 - front, front, p[1 - self._front][None]]
        elif self.meaning == "independent":
            all_of = np.concatenate([np.prod(1 - p, axis=0, keepdims=True), p])
            found = [all_of / np.maximum(all_of.sum(axis=0), 1e-9)]
        else:
            found = [p]
        return np.ascontiguousarray(np.concatenate(found), np.float32)

    @property
    def _front(self) -> int:
        return int(bool(BOUNDARY.search(self.names[0])))


def head_of(output: Tensor, expected: Array | None = None, *, squash: Squash | None = None) -> Head:
    """Return what an output means.

    Parameters
    ----------
    output
        With its postprocessing.
    expected
        (K, n): numbers that it gave once, which tell where the description does not.
    squash
        What turns evidence into probabilities, when somebody said so.

    Raises
    ------
    InputError
        When they are no probabilities: labels, distances, flows.
    """
    n, names = output.n_channels, output.channel_names or (output.name,)
    last = _last_telling(output.steps)
    if last in ("sigmoid", "binarize"):
        return _independent(n, names, "none")
    if last == "softmax":
        return Head("shares", names) if n > 1 else _independent(n, names, "none")
    if squash == "none" or (squash is None and expected is not None and _within_one(expected)):
        adds_up = expected is not None and n > 1 and np.allclose(expected.sum(axis=0), 1, atol=0.02)
        return Head("shares", names) if adds_up else _independent(n, names, "none")
    if output.dtype.removeprefix("u").startswith("int"):
        raise InputError(
            f"The result {output.name!r} is of whole numbers, as labels are: only networks that "
            "give probabilities can be used."
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


def _last_telling(steps: Sequence[ProcessingStep]) -> str:
    """Return the last step that tells what the numbers are."""
    told = [step.name for step in steps if step.name not in ("ensure_dtype", "clip")]
    return told[-1] if told else ""


def _within_one(numbers: Array) -> bool:
    return bool(numbers.min() >= -_RANGE and numbers.max() <= 1 + _RANGE)


_SQUASH = {
    "none": lambda numbers: numbers,
    "sigmoid": lambda numbers: scipy.special.expit(numbers),
    "softmax": lambda numbers: scipy.special.softmax(numbers, axis=0),
}

__all__ = ["BOUNDARY", "Head", "Squash", "head_of"]
