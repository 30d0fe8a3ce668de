"""Labelled pixels as rows of a table: what the pixel rungs learn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import IGNORED
from napari_unetseg.core.annotation.class_balance import pixel_weights
from napari_unetseg.core.errors import InputError

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PixelTable:
    """Inputs and class of labelled pixels.

    Parameters
    ----------
    inputs
        (n, F), float32.
    targets
        (n,), uint8: the index of each pixel's class.
    counts
        (n,), float64: how many labelled pixels each row stands for.
    n_classes
        Number of classes, with or without pixels.
    """

    inputs: FloatArray
    targets: NDArray[np.uint8]
    counts: NDArray[np.float64]
    n_classes: int

    def __len__(self) -> int:
        return len(self.targets)

    @classmethod
    def gather(
        cls,
        inputs: FloatArray,
        targets: NDArray[np.uint8],
        n_classes: int,
        *,
        most: Sequence[int] | None = None,
        weights: NDArray[Any] | None = None,
        seed: int = 0,
    ) -> Self:
        """Take the labelled pixels out of an image.

        Parameters
        ----------
        inputs
            (F, *spatial), from `pixel_inputs`.
        targets
            (*spatial), uint8: see `Annotation.targets`.
        n_classes
            Number of classes.
        most
            At most so many rows of each class, drawn at random; the rows then stand for all.
        weights
            (*spatial): how many pixels each stands for; one when not given.
        seed
            The same seed draws the same.
        """
        rng = np.random.default_rng(seed)
        flat = targets.ravel()
        known = np.flatnonzero(flat != IGNORED)
        kinds = flat[known]
        places, counts = [], []
        for k in range(n_classes):
            of_class = known[kinds == k]
            n = len(of_class)
            if most is not None and most[k] < n:
                of_class = of_class[np.sort(rng.choice(n, most[k], replace=False, shuffle=False))]
            places.append(of_class)
            counts.append(np.full(len(of_class), n / max(len(of_class), 1)))
        rows = np.concatenate(places)
        columns = inputs.reshape(len(inputs), -1)
        picked = np.ascontiguousarray(columns[:, rows].T)
        stand = np.concatenate(counts)
        if weights is not None:
            stand = stand * weights.ravel()[rows]
        return cls(picked, flat[rows], stand, n_classes)

    @classmethod
    def joined(cls, tables: Sequence["PixelTable"]) -> Self:
        """Return the rows of several tables, in order."""
        return cls(
            np.concatenate([table.inputs for table in tables]),
            np.concatenate([table.targets for table in tables]),
            np.concatenate([table.counts for table in tables]),
            tables[0].n_classes,
        )

    def of_classes(self) -> NDArray[np.float64]:
        """Return how many labelled pixels each class has: (n_classes,)."""
        numbers: NDArray[Any] = np.bincount(self.targets, self.counts, minlength=self.n_classes)
        return numbers.astype(np.float64)

    def check(self) -> None:
        """Check that there is something to tell apart.

        Raises
        ------
        InputError
            When no pixel or only one class is labelled, or an input is not a finite number.
        """
        found = int((self.of_classes() > 0).sum())
        if not found:
            raise InputError("Nothing is annotated yet. Paint a stroke of each class, then train.")
        if found == 1:
            raise InputError(
                "Only one class is annotated. Paint at least one stroke of another, then train."
            )
        if not np.isfinite(self.inputs).all():
            raise InputError(
                "The image holds NaN or infinite numbers near what is annotated. Replace them "
                "first, for example with numpy.nan_to_num."
            )

    def weights(self, balance: str) -> NDArray[np.float64]:
        """Return how much each row counts: (n,), adding to 1.

        Parameters
        ----------
        balance
            See `PixelSpec.balance`.
        """
        return pixel_weights(self.targets, self.counts, self.of_classes(), balance)

    def ordered(self) -> "PixelTable":
        """Return the rows in an order that depends on nothing but the rows themselves."""
        keys: list[Any] = [self.counts, *self.inputs.T[:4][::-1], self.targets]
        order = np.lexsort(keys)
        return PixelTable(
            self.inputs[order], self.targets[order], self.counts[order], self.n_classes
        )


__all__ = ["PixelTable"]
