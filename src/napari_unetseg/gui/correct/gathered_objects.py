"""Collection of clicked objects and points until a tool has enough."""

from napari.layers import Labels

from napari_unetseg.core.errors import InputError
from napari_unetseg.gui.correct.correct_acts import Place
from napari_unetseg.gui.correct.correct_hand import Marks


class Gathered:
    """Objects to merge, or points in one object to split.

    Parameters
    ----------
    marks
        Shows the points over the labels.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._numbers: list[int] = []
        self._places: list[Place] = []

    @property
    def can_divide(self) -> bool:
        """Whether there are two points or more."""
        return len(self._places) > 1

    def add(self, layer: Labels, numbers: list[int], places: list[Place]) -> str:
        """Add objects to merge; return the next instruction, or ``""`` once there are two."""
        self._numbers = list(dict.fromkeys([*self._numbers, *numbers]))
        self._places = places
        if len(self._numbers) > 1:
            return ""
        self._marks.show(layer, places, large=True)
        return f"Object {self._numbers[0]}. Click the one to merge into it."

    def seed(self, layer: Labels, number: int, place: Place) -> str:
        """Add a point at which to split an object; return the next instruction.

        Raises
        ------
        InputError
            If the point is in another object than the first.
        """
        if self._numbers and self._numbers[0] != number:
            raise InputError(
                f"This is object {number}; the first point is in object {self._numbers[0]}. Click "
                "in that one, or press Esc."
            )
        self._numbers = [number]
        self._places = [*self._places, place]
        self._marks.show(layer, self._places, large=True)
        n = len(self._places)
        if n == 1:
            return f"Object {number}. Click a point in its other part."
        return f"Object {number}: {n} points. Enter splits it."

    def take(self) -> tuple[list[int], list[Place]]:
        """Return the collected objects and points, and clear them."""
        numbers, places = self._numbers, self._places
        self.clear()
        return numbers, places

    def clear(self) -> None:
        """Remove all collected objects and points."""
        self._numbers, self._places = [], []
        self._marks.remove()


__all__ = ["Gathered"]
