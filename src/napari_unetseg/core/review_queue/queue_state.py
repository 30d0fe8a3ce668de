"""`Queue`: what there is to look at, how far one is, and whether to go on. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.review_queue.estimate_count import JudgedSample
from napari_unetseg.core.review_queue.queue_items import JUDGED, Item, Verdict
from napari_unetseg.core.review_queue.queue_options import Order

LAST = 20
"""How many of the items judged last say what is still to be gained."""

_CHANGED = ("fixed", "rejected", "gone")


@dataclass(frozen=True)
class Outlook:
    """What going on would bring.

    Parameters
    ----------
    changed, seen
        How many of the items judged last had to be changed.
    expected
        How many of those left would have to be, at that rate: more than there are, since what
        comes first is what is most unsure.
    enough
        Whether little is to be gained.
    """

    changed: int
    seen: int
    expected: float
    enough: bool


@dataclass(frozen=True)
class Queue:
    """A queue. Every change returns a new one.

    Parameters
    ----------
    order
        What came first.
    items
        In order.
    verdicts
        One for each item.
    worth
        For each item what it stands for: of an object how many true ones, of a window how many
        objects were missed in it.
    at
        The place of the current item.
    population, windows, certain
        Of a random sample: see `JudgedSample`.
    enough
        See `QueueOptions`.
    """

    order: Order
    items: tuple[Item, ...]
    verdicts: tuple[Verdict, ...] = ()
    worth: tuple[float, ...] = ()
    at: int = 0
    population: int = 0
    windows: int = 0
    certain: int = 0
    enough: float = 0.1

    def __post_init__(self) -> None:
        n = len(self.items)
        if not self.verdicts and not self.worth:
            object.__setattr__(self, "verdicts", ("",) * n)
            object.__setattr__(self, "worth", (0.0,) * n)
        if not len(self.verdicts) == len(self.worth) == n:
            raise InputError(f"A queue of {n} items needs a verdict for each. Make it again.")
        if n and not 0 <= self.at < n:
            raise InputError(f"A queue of {n} items has no item {self.at + 1}. Make it again.")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def item(self) -> Item | None:
        """The current item; None of an empty queue."""
        return self.items[self.at] if self.items else None

    @property
    def verdict(self) -> Verdict:
        """What became of the current item."""
        return self.verdicts[self.at] if self.items else ""

    @property
    def n_judged(self) -> int:
        """How many items have a verdict."""
        return sum(verdict in JUDGED for verdict in self.verdicts)

    @property
    def random(self) -> bool:
        """Whether it is a random sample."""
        return self.order == "random sample"

    def go(self, at: int) -> Self:
        """Make another item current."""
        return replace(self, at=min(max(at, 0), max(len(self) - 1, 0)))

    def next_at(self) -> int | None:
        """Return the place of the next item without a verdict, from the current one on and then
        from the beginning; None when all have one."""
        n = len(self)
        order = [*range(self.at + 1, n), *range(min(self.at + 1, n))]
        return next((at for at in order if not self.verdicts[at]), None)

    def judged(self, at: int, verdict: Verdict, worth: float = 1.0) -> Self:
        """Give an item a verdict, or take it back with an empty one."""
        verdicts, worths = list(self.verdicts), list(self.worth)
        verdicts[at], worths[at] = verdict, float(worth)
        return replace(self, verdicts=tuple(verdicts), worth=tuple(worths))

    def place_of(self, item: Item) -> int | None:
        """Return where an item of another queue stands in this one."""
        return next((k for k, one in enumerate(self.items) if one.who == item.who), None)

    def outlook(self) -> Outlook:
        """Return what is still to be gained: from the items before the current one on."""
        done = [k for k, verdict in enumerate(self.verdicts) if verdict in JUDGED]
        last = done[-LAST:]
        changed = sum(self.verdicts[k] in _CHANGED or self._missed(k) for k in last)
        left = len(self) - len(done)
        rate = (changed + 0.5) / (len(last) + 1)
        enough = len(last) == LAST and changed < self.enough * LAST
        return Outlook(changed, len(last), rate * left, enough or not left)

    def sample(self) -> JudgedSample:
        """Return what a random sample has found so far.

        Only what was judged without a gap counts: what was passed over may be what was hard.

        Raises
        ------
        InputError
            When it is no random sample.
        """
        if not self.random:
            raise InputError(
                "What is reviewed unsure first is no random sample: it holds more mistakes than "
                "the rest, so no count follows from it. Choose the order random sample."
            )
        n = self.n_in_a_row
        pairs = list(zip(self.items[:n], self.worth[:n], strict=True))
        return JudgedSample(
            population=self.population,
            worth=tuple(worth for item, worth in pairs if item.kind == "object"),
            windows=self.windows,
            missed=tuple(round(worth) for item, worth in pairs if item.kind == "window"),
            certain=self.certain,
        )

    @property
    def n_in_a_row(self) -> int:
        """How many items have a verdict before the first without one."""
        return next((k for k, v in enumerate(self.verdicts) if v not in JUDGED), len(self))

    def plain(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return _adapter().dump_python(self, mode="json")

    def _missed(self, at: int) -> bool:
        return self.items[at].kind == "window" and self.worth[at] > 0


@cache
def _adapter() -> TypeAdapter[Queue]:
    return TypeAdapter(Queue)


def read_queue(plain: Mapping[str, Any], shape: tuple[int, ...]) -> Queue:
    """Read what `Queue.plain` returned; it may come from a file that anybody wrote.

    Parameters
    ----------
    shape
        Of the labels.

    Raises
    ------
    InputError
        When it is damaged, or of labels of another shape.
    """
    try:
        queue = _adapter().validate_python(dict(plain))
    except ValidationError as error:
        raise InputError("The review queue that was saved is damaged. Make a new one.") from error
    for item in queue.items:
        inside = len(item.low) == len(item.high) == len(shape) and all(
            0 <= a < b <= n for a, b, n in zip(item.low, item.high, shape, strict=True)
        )
        if not inside:
            raise InputError("The review queue that was saved is of other labels. Make a new one.")
    return queue


__all__ = ["LAST", "Outlook", "Queue", "read_queue"]
