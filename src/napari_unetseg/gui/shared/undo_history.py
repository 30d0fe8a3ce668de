"""Undo history of a Labels layer: napari's own steps, read through its private names.

`LayerLocks.correct` writes a correction as one step that Ctrl+Z takes back.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_unetseg.core.corrections.locked_pixels import Box, PixelSet

Atom = Any
"""One change in napari's history: a box, a mask and values, or indices and values."""

Pixels = tuple[tuple[NDArray[Any], ...], Any, Any]
"""Indices, old values and new values of one change."""


class Approval(tuple[Any, ...]):
    """An entry of napari's history that changes no pixel and locks approved ones."""

    pixels: PixelSet

    def __new__(cls, layer: Labels, pixels: PixelSet) -> Self:
        nowhere = (np.zeros(0, np.intp),) * layer.ndim
        nothing = np.zeros(0, layer.data.dtype)
        approval = super().__new__(cls, (nowhere, nothing, nothing))
        approval.pixels = pixels
        return approval


def histories(layer: Labels) -> "tuple[deque[list[Atom]], deque[list[Atom]]]":
    """Return napari's undo steps, oldest first, and redo steps, latest first (private names)."""
    return layer._undo_history, layer._redo_history  # noqa: SLF001


def latest_steps(layers: Iterable[Layer]) -> dict[Labels, list[Atom] | None]:
    """Return the step of each Labels layer that Ctrl+Z would undo, or None without one."""
    steps = {one: histories(one)[0] for one in layers if isinstance(one, Labels)}
    return {layer: history[-1] if history else None for layer, history in steps.items()}


def unfinished(layer: Labels) -> list[Atom]:
    """Return the changes of the stroke that is being drawn; they are no step yet."""
    found: list[Atom] = layer._staged_history  # noqa: SLF001
    return found


def forget_steps(layer: Labels) -> None:
    """Drop all steps, which belong to an array that the layer no longer has."""
    layer._reset_history()  # noqa: SLF001


@contextmanager
def one_step(layer: Labels) -> Iterator[None]:
    """Record changes as one step, or as part of the stroke that is being drawn."""
    if layer._block_history:  # noqa: SLF001
        yield
    else:
        with layer.block_history():
            yield


def end_step(layer: Labels) -> None:
    """Make a step of the part of a stroke that is drawn so far."""
    with layer.block_history():
        pass


def approve_in_step(layer: Labels, pixels: PixelSet) -> None:
    """Lock pixels by the step that is being recorded, which Ctrl+Z takes back as one."""
    last = next((one for one in reversed(unfinished(layer)) if isinstance(one, Approval)), None)
    if last is None:
        layer._save_history(Approval(layer, pixels))  # noqa: SLF001
    else:
        last.pixels.update(pixels)


def same_step(step: list[Atom], other: list[Atom]) -> bool:
    """Whether two steps are the same; undoing and redoing reverses the order of their changes."""
    return {id(atom) for atom in step} == {id(atom) for atom in other}


def box_of(atom: Atom, shape: Sequence[int]) -> Box:
    """Return the box of a change that is stored as a box and a mask."""
    parts = zip(atom.slice_key, shape, strict=True)
    return tuple(slice(*part.indices(length)[:2]) for part, length in parts)


def pixels_of(atom: Atom, shape: Sequence[int]) -> Pixels:
    """Return the indices, old values and new values of one change."""
    if not hasattr(atom, "slice_key"):
        index, before, after = atom
        return tuple(np.ravel(axis) for axis in index), np.ravel(before), after
    box = box_of(atom, shape)
    mask = atom.mask if atom.mask is not None else np.ones([s.stop - s.start for s in box], bool)
    index = tuple(axis + s.start for axis, s in zip(np.nonzero(mask), box, strict=True))
    return index, np.ravel(atom.old_values), int(atom.new_value)


def changes_since(
    then: "Sequence[list[Atom]]", history: "deque[list[Atom]]", shape: Sequence[int]
) -> list[Pixels] | None:
    """Return what was done, undone and redone since the undo steps were `then`.

    Returns
    -------
    list or None
        Changes in the order in which they lead to the present labels; None if that is unknown,
        since all steps of `then` have left the history.
    """
    now = list(history)
    start = next((k for k, step in enumerate(then) if now and same_step(step, now[0])), None)
    if start is None and then and len(now) == history.maxlen:
        return None
    rest = then[start or 0 :]
    common = 0
    while common < min(len(rest), len(now)) and same_step(rest[common], now[common]):
        common += 1
    found = []
    for step in reversed(rest[common:]):
        for atom in reversed(step):
            index, before, after = pixels_of(atom, shape)
            found.append((index, after, before))
    found += [pixels_of(atom, shape) for step in now[common:] for atom in step]
    return found


__all__ = [
    "Approval",
    "Atom",
    "Pixels",
    "approve_in_step",
    "box_of",
    "changes_since",
    "end_step",
    "forget_steps",
    "histories",
    "latest_steps",
    "one_step",
    "pixels_of",
    "same_step",
    "unfinished",
]
