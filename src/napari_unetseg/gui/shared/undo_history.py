"""Undo history of a Labels layer: napari's own steps, read through its private names.

`LayerLocks.correct` writes a correction as one step that Ctrl+Z takes back.
"""

from collections import deque
from typing import Any

from napari.layers import Labels

Atom = Any
"""One change in napari's history: a box, a mask and values, or indices and values."""


def histories(layer: Labels) -> "tuple[deque[list[Atom]], deque[list[Atom]]]":
    """Return napari's undo steps, oldest first, and redo steps, latest first (private names)."""
    return layer._undo_history, layer._redo_history  # noqa: SLF001


def add_to_step(layer: Labels, atom: Atom) -> None:
    """Add a change to the step that is being recorded, which Ctrl+Z takes back as one."""
    layer._save_history(atom)  # noqa: SLF001


def same_step(step: list[Atom], other: list[Atom]) -> bool:
    """Whether two steps are the same; undoing and redoing reverses the order of their changes."""
    return {id(atom) for atom in step} == {id(atom) for atom in other}


__all__ = ["Atom", "add_to_step", "histories", "same_step"]
