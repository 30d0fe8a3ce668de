"""The objects and places that the hand gathers, click by click, until a tool has enough."""

from napari.layers import Labels

from napari_unetseg.core.errors import InputError
from napari_unetseg.gui.correct.correct_acts import Place
from napari_unetseg.gui.correct.correct_hand import Marks


class Gathered:
    """Objects to be merged, or places in one object that is to be divided.

    Parameters
    ----------
    marks
        Shows the places over the labels.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._numbers: list[int] = []
        self._places: list[Place] = []

    @property
    def can_divide(self) -> bool:
        """Whether there are two places or more."""
        return len(self._places) > 1

    def add(self, layer: Labels, numbers: list[int], places: list[Place]) -> str:
        """Add objects to be merged; return what to click next, or nothing when two are there."""
        self._numbers = list(dict.fromkeys([*self._numbers, *numbers]))
        self._places = places
        if len(self._numbers) > 1:
            return ""
        self._marks.show(layer, places, large=True)
        return f"Object {self._numbers[0]}. Click the one to merge into it."

    def seed(self, layer: Labels, number: int, place: Place) -> str:
        """Add a place at which an object is to be divided; return what to do next.

        Raises
        ------
        InputError
            When the place is in another object than the first.
        """
        if self._numbers and self._numbers[0] != number:
            raise InputError(
                f"This is object {number}; the first place is in object {self._numbers[0]}. Click "
                "in that one, or Esc."
            )
        self._numbers = [number]
        self._places = [*self._places, place]
        self._marks.show(layer, self._places, large=True)
        n = len(self._places)
        if n == 1:
            return f"Object {number}. Click a place in its other piece."
        return f"Object {number}: {n} places. Enter divides it."

    def take(self) -> tuple[list[int], list[Place]]:
        """Return what was gathered, and begin anew."""
        numbers, places = self._numbers, self._places
        self.clear()
        return numbers, places

    def clear(self) -> None:
        """Begin anew."""
        self._numbers, self._places = [], []
        self._marks.remove()


__all__ = ["Gathered"]
