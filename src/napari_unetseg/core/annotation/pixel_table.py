"""Labelled pixels as rows of a table: the training data of the pixel rungs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import IGNORED
from napari_unetseg.core.annotation.class_balance import pixel_weights
from napari_unetseg.core.compute.coarse_maps import MixedInputs
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
        (n,), uint8: class index of each pixel.
    counts
        (n,), float64: number of labelled pixels that each row represents.
    n_classes
        Number of classes, with or without pixels.
    coarse
        First of the inputs that come from coarser grids, which are the features of the pretrained
        network, and the one after the last.
    """

    inputs: FloatArray
    targets: NDArray[np.uint8]
    counts: NDArray[np.float64]
    n_classes: int
    coarse: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return len(self.targets)

    @classmethod
    def gather(
        cls,
        inputs: FloatArray | MixedInputs,
        targets: NDArray[np.uint8],
        n_classes: int,
        *,
        most: Sequence[int] | None = None,
        weights: NDArray[Any] | None = None,
        seed: int = 0,
    ) -> Self:
        """Gather the labelled pixels of an image.

        Parameters
        ----------
        inputs
            (F, *spatial), from `mixed_inputs`.
        targets
            (*spatial), uint8: see `Annotation.targets`.
        n_classes
            Number of classes.
        most
            Largest number of rows of each class, drawn at random; they then represent all.
        weights
            (*spatial): number of pixels that each represents; one when not given.
        seed
            Seed of the random draw.
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
        mixed = MixedInputs.of(inputs)
        n_coarse = sum(len(maps.values) for maps in mixed.coarse)
        coarse = mixed.at, mixed.at + n_coarse
        represented = np.concatenate(counts)
        if weights is not None:
            represented = represented * weights.ravel()[rows]
        return cls(mixed.rows(rows), flat[rows], represented, n_classes, coarse)

    @classmethod
    def joined(cls, tables: Sequence["PixelTable"]) -> Self:
        """Concatenate the rows of several tables, in order."""
        return cls(
            np.concatenate([table.inputs for table in tables]),
            np.concatenate([table.targets for table in tables]),
            np.concatenate([table.counts for table in tables]),
            tables[0].n_classes,
            tables[0].coarse,
        )

    def of_classes(self) -> NDArray[np.float64]:
        """Count the labelled pixels of each class: (n_classes,)."""
        numbers: NDArray[Any] = np.bincount(self.targets, self.counts, minlength=self.n_classes)
        return numbers.astype(np.float64)

    def check(self) -> None:
        """Check that at least two classes are labelled, and that inputs are finite.

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
                "The image holds NaN or infinite numbers near the annotated pixels. Replace them "
                "first, for example with numpy.nan_to_num."
            )

    def weights(self, balance: str) -> NDArray[np.float64]:
        """Return the weight of each row: (n,), with the sum 1.

        Parameters
        ----------
        balance
            See `PixelSpec.balance`.
        """
        return pixel_weights(self.targets, self.counts, self.of_classes(), balance)

    def ordered(self) -> "PixelTable":
        """Sort the rows, in an order that depends only on their values."""
        keys: list[Any] = [self.counts, *self.inputs.T[:4][::-1], self.targets]
        order = np.lexsort(keys)
        return replace(
            self,
            inputs=self.inputs[order],
            targets=self.targets[order],
            counts=self.counts[order],
        )


__all__ = ["PixelTable"]
