"""Hold the state of a review queue: its items, the results so far and when to stop."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.review_queue.estimate_count import JudgedSample
from napari_unetseg.core.review_queue.judge_corrections import count_corrected
from napari_unetseg.core.review_queue.label_snapshots import surroundings, unpack_labels
from napari_unetseg.core.review_queue.queue_items import JUDGED, Item, Verdict
from napari_unetseg.core.review_queue.queue_options import Order

LAST = 20
"""Number of the last reviewed items that the outlook is estimated from."""

_CHANGED = ("fixed", "rejected", "gone")


@dataclass(frozen=True)
class Outlook:
    """Estimate the benefit of reviewing the rest.

    Parameters
    ----------
    changed, seen
        Number of the last reviewed items that were changed, and their total number.
    expected
        Expected changes among the remaining items at that rate; an overestimate, since the most
        uncertain items come first.
    enough
        Whether the review can stop.
    """

    changed: int
    seen: int
    expected: float
    enough: bool


@dataclass(frozen=True)
class Queue:
    """Hold a queue; every change returns a new one.

    Parameters
    ----------
    order
        The order of the items.
    items
        The items in order.
    verdicts
        One verdict per item.
    worth
        For each object the number of true objects it stands for, for each window the number of
        missed objects in it.
    at
        Index of the current item.
    population, windows, certain
        For a random sample; see `JudgedSample`.
    enough
        See `QueueOptions`.
    corrected
        What `count_corrected` finds for each item: it stands for the number of objects of a
        verdict, and for more missed objects than a verdict says.
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
    corrected: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.items)
        if not self.verdicts and not self.worth:
            object.__setattr__(self, "verdicts", ("",) * n)
            object.__setattr__(self, "worth", (0.0,) * n)
        if not self.corrected:
            object.__setattr__(self, "corrected", (None,) * n)
        if not len(self.verdicts) == len(self.worth) == len(self.corrected) == n:
            raise InputError(f"A queue of {n} items needs a verdict for each. Make it again.")
        if n and not 0 <= self.at < n:
            raise InputError(f"A queue of {n} items has no item {self.at + 1}. Make it again.")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def item(self) -> Item | None:
        """The current item; None if the queue is empty."""
        return self.items[self.at] if self.items else None

    @property
    def verdict(self) -> Verdict:
        """The verdict of the current item."""
        return self.verdicts[self.at] if self.items else ""

    @property
    def n_judged(self) -> int:
        """The number of items with a verdict."""
        return sum(verdict in JUDGED for verdict in self.verdicts)

    @property
    def random(self) -> bool:
        """Whether the queue is a random sample."""
        return self.order == "random sample"

    def go(self, at: int) -> Self:
        """Return the queue with another current item."""
        return replace(self, at=min(max(at, 0), max(len(self) - 1, 0)))

    def next_at(self) -> int | None:
        """Return the index of the next item without a verdict; None when all have one.

        Searches from the current item on, then from the beginning.
        """
        n = len(self)
        order = [*range(self.at + 1, n), *range(min(self.at + 1, n))]
        return next((at for at in order if not self.verdicts[at]), None)

    def judged(self, at: int, verdict: Verdict, worth: float = 1.0) -> Self:
        """Return the queue with the verdict of an item; an empty one takes it back."""
        verdicts, worths = list(self.verdicts), list(self.worth)
        verdicts[at], worths[at] = verdict, float(worth)
        return replace(self, verdicts=tuple(verdicts), worth=tuple(worths))

    def with_corrections(self, labels: Any, locked: PixelSet) -> Self:
        """Return the queue of a random sample with what the labels and locked pixels say now."""
        found = tuple(count_corrected(item, labels, locked) for item in self.items)
        return replace(self, corrected=found)

    def true_objects(self, at: int) -> float:
        """Return the true objects of an object, or the missed ones of a window, by all we know."""
        worth, corrected = self.worth[at], self.corrected[at]
        if corrected is None:
            return worth
        return max(worth, corrected) if self.items[at].kind == "window" else corrected

    def place_of(self, item: Item) -> int | None:
        """Return the index of an item of another queue in this one; None if it is not in it."""
        return next((k for k, other in enumerate(self.items) if other.key == item.key), None)

    def outlook(self) -> Outlook:
        """Estimate the benefit of reviewing the rest, from the last reviewed items."""
        done = [k for k, verdict in enumerate(self.verdicts) if verdict in JUDGED]
        last = done[-LAST:]
        changed = sum(self.verdicts[k] in _CHANGED or self._missed(k) for k in last)
        left = len(self) - len(done)
        rate = (changed + 0.5) / (len(last) + 1)
        enough = len(last) == LAST and changed < self.enough * LAST
        return Outlook(changed, len(last), rate * left, enough or not left)

    def sample(self) -> JudgedSample:
        """Return the review results of the random sample so far.

        Only the items before the first unreviewed one count: skipped items may be difficult ones.

        Raises
        ------
        InputError
            When the queue is not a random sample.
        """
        if not self.random:
            raise InputError(
                "A queue in the order unsure first is not a random sample: it has more errors than "
                "the rest, so a count cannot be estimated. Choose the order random sample."
            )
        n = self.n_in_a_row
        pairs = [(item, self.true_objects(at)) for at, item in enumerate(self.items[:n])]
        return JudgedSample(
            population=self.population,
            worth=tuple(worth for item, worth in pairs if item.kind == "object"),
            windows=self.windows,
            missed=tuple(round(worth) for item, worth in pairs if item.kind == "window"),
            certain=self.certain,
        )

    @property
    def n_in_a_row(self) -> int:
        """The number of items before the first without a verdict."""
        return next((k for k, v in enumerate(self.verdicts) if v not in JUDGED), len(self))

    def plain(self) -> dict[str, Any]:
        """Return the queue as JSON values."""
        return _adapter().dump_python(self, mode="json")

    def _missed(self, at: int) -> bool:
        return self.items[at].kind == "window" and self.true_objects(at) > 0


@cache
def _adapter() -> TypeAdapter[Queue]:
    return TypeAdapter(Queue)


def read_queue(plain: Mapping[str, Any], shape: tuple[int, ...]) -> Queue:
    """Read a queue from the output of `Queue.plain`, which may come from an untrusted file.

    Parameters
    ----------
    shape
        Shape of the labels.

    Raises
    ------
    InputError
        When the data are damaged, or belong to labels of another shape.
    """
    try:
        queue = _adapter().validate_python(dict(plain))
    except ValidationError as error:
        raise InputError("The saved review queue is damaged. Make a new one.") from error
    for item in queue.items:
        inside = len(item.low) == len(item.high) == len(shape) and all(
            0 <= a < b <= n for a, b, n in zip(item.low, item.high, shape, strict=True)
        )
        if not inside:
            raise InputError("The saved review queue belongs to other labels. Make a new one.")
        if item.before:
            unpack_labels(item.before, surroundings(item, shape))
    return queue


__all__ = ["LAST", "Outlook", "Queue", "read_queue"]
