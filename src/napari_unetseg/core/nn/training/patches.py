"""Training patches drawn around labels, and validation windows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unetseg.core.annotation.annotation import IGNORED, AnnotatedImage, Annotation
from napari_unetseg.core.annotation.class_balance import patch_odds
from napari_unetseg.core.features.position import position_terms
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.nn.training.augment import TrainingBatch

Sizes = tuple[int, ...]

PLACES = 200_000
"""Largest number of labelled pixels per class and image that patches are drawn around."""

_PARTS = 5
"""Number of parts of the validation set, see `dice_without_choice`."""

WINDOW_PIXELS = 2**21
"""Largest number of pixels predicted in one validation."""


@dataclass(frozen=True)
class Shape:
    """Sides of a network's input and output, and the place of the output in the input.

    Parameters
    ----------
    patch, result
        Sides in pixels.
    offset
        Place of the result in the patch, whose middle it is; zeros unless convolutions are not
        padded.
    """

    patch: Sizes
    result: Sizes
    offset: Sizes


class Reader:
    """Reader of corresponding patches of image, position terms, annotation and guess."""

    def __init__(self, spec: ModelSpec, shape: Shape) -> None:
        self._spec, self._shape = spec, shape

    def image(self, source: AnnotatedImage, start: Sizes) -> NDArray[np.float32]:
        """Read the inputs, (inputs, *patch), of the patch whose result starts at `start`."""
        whole = source.annotation.shape
        origin = tuple(s - o for s, o in zip(start, self._shape.offset, strict=True))
        block = source.scale().apply(_cut(source.image, origin, self._shape.patch, whole))
        spec = self._spec
        if spec.position == "none":
            return block
        patch = self._shape.patch
        terms = position_terms(
            spec.position, spec.position_order, origin=origin, block=patch, shape=whole
        )
        return np.concatenate([block, terms])

    def targets(
        self, source: AnnotatedImage, start: Sizes
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]:
        """Read classes, weights, and the mask of pixels without annotation: (*result) each.

        Weights are at most 1. Pixels of a larger weight are drawn more often instead, with their
        surroundings: corrections are mostly on one side of an edge, and would push it away.
        """
        whole, sides = source.annotation.shape, self._shape.result
        target = _cut(source.annotation.targets, start, sides, whole)
        known = target != IGNORED
        others = ~known
        for axis, (first, side, length) in enumerate(zip(start, sides, whole, strict=True)):
            # Beyond its edge the image is mirrored, but not annotated.
            beyond = (slice(None),) * axis + (slice(max(length - first, 0), side),)
            known[beyond] = others[beyond] = False
        counts = known.astype(np.float32)
        if source.annotation.weights is not None:
            counts *= np.minimum(_cut(source.annotation.weights, start, sides, whole), 1)
        return np.where(known, target, 0), counts, others

    def maps(self, source: AnnotatedImage, start: Sizes) -> NDArray[np.float32] | None:
        """Read the target maps of an object decoder, (maps, *result), if there is one."""
        return self._graded(source.maps, source, start)

    def guess(self, source: AnnotatedImage, start: Sizes) -> NDArray[np.float32] | None:
        """Read the probabilities of a lower rung, (classes, *result), if there is one."""
        return self._graded(source.guess, source, start)

    def _graded(
        self, whole: NDArray[np.float16] | None, source: AnnotatedImage, start: Sizes
    ) -> NDArray[np.float32] | None:
        if whole is None:
            return None
        cut = _cut(whole, start, self._shape.result, source.annotation.shape)
        return cut.astype(np.float32)


class Drawer:
    """Sampler of training batches around labelled pixels.

    Parameters
    ----------
    sources
        Images to train on.
    reader, shape
        Reader and sides of the patches.
    by_class, shares
        See `patch_odds`.
    class_weights
        (classes,): weight of a pixel of each class.
    rng
        Source of all randomness.
    """

    def __init__(
        self,
        sources: Sequence[AnnotatedImage],
        reader: Reader,
        shape: Shape,
        *,
        by_class: bool,
        class_weights: NDArray[np.float32],
        rng: np.random.Generator,
        shares: Sequence[float] | None = None,
    ) -> None:
        self._sources, self._reader, self._shape = sources, reader, shape
        self._class_weights, self._rng = class_weights, rng
        self._places = [_places(source.annotation, rng) for source in sources]
        annotations = [source.annotation for source in sources]
        times = [source.times for source in sources]
        self._odds = patch_odds(annotations, times, by_class=by_class, shares=shares).ravel()
        self.n_pixels = int(sum(source.annotation.counted.sum() for source in sources))

    def draw(self, n: int, *, guess: bool = False) -> TrainingBatch:
        """Draw `n` patches.

        Parameters
        ----------
        guess
            Whether a lower rung's guess is learnt too. Then half of the patches lie anywhere.
        """
        parts, maps, guesses = [], [], []
        for _ in range(n):
            source, start = self._place(anywhere=guess and self._rng.random() < 0.5)
            parts.append((self._reader.image(source, start), *self._reader.targets(source, start)))
            maps.append(self._reader.maps(source, start))
            guesses.append(self._reader.guess(source, start) if guess else None)
        image, target, counts, others = map(np.stack, zip(*parts, strict=True))
        weight = counts * self._class_weights[target]
        n_image = len(self._sources[0].image)
        return TrainingBatch(
            torch.from_numpy(image),
            torch.from_numpy(target.astype(np.int64)),
            torch.from_numpy(weight),
            n_image,
            _counted(maps, counts),
            _counted(guesses, others),
        )

    def _place(self, *, anywhere: bool) -> tuple[AnnotatedImage, Sizes]:
        """Draw an image and the start of the result of a patch in it."""
        sides = np.array(self._shape.result)
        if anywhere:
            source = self._sources[int(self._rng.integers(len(self._sources)))]
            pixel = self._rng.integers(source.annotation.shape)
        else:
            choice = int(self._rng.choice(len(self._odds), p=self._odds))
            i, k = divmod(choice, len(self._class_weights))
            source, places = self._sources[i], self._places[i][k]
            pixel = np.array(np.unravel_index(self._rng.choice(places), source.annotation.shape))
        # The pixel lies anywhere in the patch but in its outermost eighth.
        margin = sides // 8
        start = pixel - self._rng.integers(margin, np.maximum(sides - margin, margin + 1))
        limit = np.maximum(np.array(source.annotation.shape) - sides, 0)
        return source, tuple(int(s) for s in np.clip(start, 0, limit))


@dataclass(frozen=True)
class Judgement:
    """Scores of a prediction on the validation set.

    Parameters
    ----------
    dice
        Mean over the classes that count (not a mask's background) and were held out.
    loss
        Mean cross-entropy over the held-out pixels, each class weighing the same.
    per_class
        Dice of each class; NaN when none of it was held out.
    maps_error
        Mean absolute error of a decoder's maps over the held-out foreground; 0 without a decoder.
    guess_error
        Mean absolute difference from the probabilities of a lower rung, where nothing is
        annotated; 0 without a guess.
    """

    dice: float
    loss: float
    per_class: tuple[float, ...]
    maps_error: float = 0.0
    guess_error: float = 0.0

    @property
    def rank(self) -> tuple[float, float]:
        """Sort key, larger for a better one: Dice to three decimals, then less loss.

        A few held-out strokes soon reach a Dice of 1, and the loss breaks the tie. Where objects
        are learnt, the error of the maps counts as much as Dice; so does the difference from a
        lower rung's guess: a network that finds far too much may be right on all the strokes.
        """
        return (round(self.dice - self.maps_error - self.guess_error, 3), -self.loss)


class Windows(NamedTuple):
    """A batch of validation windows.

    Parameters
    ----------
    image
        (N, inputs, *patch).
    target
        (N, *result), uint8, the rims ignored.
    maps, guess
        (N, maps or classes, *result); None where no objects, or no guess, are learnt.
    """

    image: Tensor
    target: NDArray[np.uint8]
    maps: NDArray[np.float32] | None
    guess: NDArray[np.float32] | None


class Judge:
    """Windows that together cover the validation set.

    Of a window of the patch's sides the inner three quarters count, so that every scored pixel has
    its surroundings. Of more than `WINDOW_PIXELS` pixels, windows are left out at random.
    """

    def __init__(self, sources: Sequence[AnnotatedImage], reader: Reader, shape: Shape) -> None:
        self._sources, self._reader, self._shape = sources, reader, shape
        annotation = sources[0].annotation
        self.n_classes, self.foreground = annotation.n_classes, annotation.foreground
        windows = [(s, start) for s in sources for start in self._windows(s.annotation)]
        most = max(1, WINDOW_PIXELS // int(np.prod(shape.patch)))
        # A fixed stride could coincide with the grid's columns and select only one of them.
        chosen = np.random.default_rng(0).permutation(len(windows))[:most]
        self._chosen = [windows[k] for k in sorted(chosen)]
        n_parts = min(len(self._chosen), _PARTS)
        self.parts = [n_parts * k // len(self._chosen) for k in range(len(self._chosen))]
        """Number of the part of each window: neighbouring windows are in the same one."""

    def __bool__(self) -> bool:
        return bool(self._chosen)

    def batches(self, n: int) -> Iterator[Windows]:
        """Yield batches of `n` windows."""
        for first in range(0, len(self._chosen), n):
            some = self._chosen[first : first + n]
            yield Windows(
                torch.from_numpy(np.stack([self._reader.image(*window) for window in some])),
                np.stack([self._inner(*window) for window in some]),
                _stacked([self._reader.maps(*window) for window in some]),
                _stacked([self._reader.guess(*window) for window in some]),
            )

    def _margin(self) -> Sizes:
        return tuple(side // 8 for side in self._shape.result)

    def _windows(self, annotation: Annotation) -> Iterator[Sizes]:
        counted, margin = annotation.counted, self._margin()
        inner = [side - 2 * m for side, m in zip(self._shape.result, margin, strict=True)]
        cells = (-(-n // side) for n, side in zip(counted.shape, inner, strict=True))
        for cell in np.ndindex(*cells):
            start = [c * side for c, side in zip(cell, inner, strict=True)]
            part = tuple(slice(s, s + side) for s, side in zip(start, inner, strict=True))
            if counted[part].any():
                yield tuple(s - m for s, m in zip(start, margin, strict=True))

    def _inner(self, source: AnnotatedImage, start: Sizes) -> NDArray[np.uint8]:
        """Read the targets of a window, ignored in its rim and beyond the image."""
        sides, whole = self._shape.result, source.annotation.shape
        target = _cut(source.annotation.targets, start, sides, whole)
        inner = np.full_like(target, IGNORED)
        part = tuple(
            slice(m, min(side - m, n - s))
            for m, side, n, s in zip(self._margin(), sides, whole, start, strict=True)
        )
        inner[part] = target[part]
        return inner


class Tally:
    """Running totals of a confusion matrix, cross-entropy and map errors over batches."""

    def __init__(self, n_classes: int, foreground: Sequence[int]) -> None:
        self.confusion = np.zeros((n_classes, n_classes), np.int64)
        self.cross_entropy = np.zeros(n_classes)
        self.foreground = foreground
        self.maps, self.guess = _Mean(), _Mean()

    def add(self, proba: NDArray[np.float32], target: NDArray[np.uint8]) -> None:
        """Add (N, classes, *spatial) probabilities against (N, *spatial) targets."""
        known = target != IGNORED
        truth = target[known].astype(np.int64)
        predicted = np.moveaxis(proba, 1, -1)[known]
        n = len(self.confusion)
        pairs = np.bincount(truth * n + predicted.argmax(1), minlength=n * n)
        self.confusion += pairs.reshape(n, n)
        losses = -np.log(np.maximum(predicted[np.arange(len(truth)), truth], 1e-7))
        self.cross_entropy += np.bincount(truth, losses, minlength=n)

    def add_maps(
        self,
        predicted: NDArray[np.float32],
        true: NDArray[np.float32],
        target: NDArray[np.uint8],
    ) -> None:
        """Add (N, maps, *spatial) maps against the true ones where `target` is foreground."""
        objects = (target != IGNORED) & (target > 0)
        self.maps.add(np.abs(predicted - true).mean(1)[objects])

    def add_guess(
        self,
        predicted: NDArray[np.float32],
        guess: NDArray[np.float32],
        target: NDArray[np.uint8],
    ) -> None:
        """Add (N, classes, *spatial) probabilities against the guess where nothing is annotated."""
        self.guess.add(np.abs(predicted - guess).mean(1)[target == IGNORED])

    @classmethod
    def joined(cls, tallies: Sequence["Tally"]) -> "Tally":
        """Add up the totals of one or more tallies."""
        first = tallies[0]
        whole = cls(len(first.confusion), first.foreground)
        whole.confusion = sum((one.confusion for one in tallies), whole.confusion)
        whole.cross_entropy = sum((one.cross_entropy for one in tallies), whole.cross_entropy)
        for one in tallies:
            whole.maps.join(one.maps)
            whole.guess.join(one.guess)
        return whole

    def judgement(self) -> Judgement:
        """Return the scores of all batches."""
        both = self.confusion.diagonal()
        truth, predicted = self.confusion.sum(1), self.confusion.sum(0)
        dice = np.where(truth > 0, 2 * both / np.maximum(truth + predicted, 1), np.nan)
        front = [k for k in self.foreground if truth[k]]
        present = truth > 0
        losses = self.cross_entropy[present] / truth[present]
        return Judgement(
            float(dice[front].mean()) if front else 0.0,
            float(losses.mean()) if present.any() else 0.0,
            tuple(map(float, dice)),
            self.maps.value,
            self.guess.value,
        )


def dice_without_choice(validations: Sequence[Sequence[Tally]]) -> float | None:
    """Return the Dice of the best validation, on labels that took no part in its choice.

    The best of many validations is better on the labels that chose it than on others. So each part
    of the validation set is scored by the validation that is best on the other parts.

    Parameters
    ----------
    validations
        Totals of each part, of every validation.

    Returns
    -------
    float or None
        The Dice of all parts together; None where a class to score is in less than two parts.
    """
    if not validations:
        return None
    n_parts, front = len(validations[0]), list(validations[0][0].foreground)
    truth = np.array([part.confusion.sum(1) for part in validations[0]])[:, front]
    in_parts = (truth > 0).sum(0)
    if not in_parts.any() or in_parts[in_parts > 0].min() < 2:
        return None

    def rank(parts: Sequence[Tally], out: int) -> tuple[float, float]:
        return Tally.joined([one for k, one in enumerate(parts) if k != out]).judgement().rank

    scored = []
    for out in range(n_parts):
        best = max(validations, key=lambda parts, out=out: rank(parts, out))  # type: ignore[misc]
        scored.append(best[out])
    return Tally.joined(scored).judgement().dice


class _Mean:
    """A running mean; 0 of no numbers."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, numbers: NDArray[np.float32]) -> None:
        self.total += float(numbers.sum())
        self.count += numbers.size

    def join(self, other: "_Mean") -> None:
        self.total += other.total
        self.count += other.count

    @property
    def value(self) -> float:
        return self.total / max(self.count, 1)


def _places(annotation: Annotation, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return for each class the flat indices of its pixels, or a random sample of very many.

    Pixels with weights are sampled in proportion to them.
    """
    found = []
    for k in range(annotation.n_classes):
        places = np.flatnonzero(annotation.targets == k)
        if annotation.weights is not None and len(places):
            each = annotation.weights.ravel()[places].astype(np.float64)
            found.append(rng.choice(places, PLACES, p=each / each.sum()))
            continue
        found.append(rng.choice(places, PLACES) if len(places) > PLACES else places)
    return found


def _stacked(blocks: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    present = [block for block in blocks if block is not None]
    return np.stack(present) if present else None


def _counted(graded: Sequence[NDArray[np.float32] | None], counts: NDArray[Any]) -> Tensor | None:
    """Stack the maps or guesses of patches, with the weight of each pixel as last channel."""
    stacked = _stacked(graded)
    if stacked is None:
        return None
    return torch.from_numpy(np.concatenate([stacked, counts[:, None]], 1, dtype=np.float32))


def _cut(array: NDArray[Any], start: Sizes, sides: Sizes, whole: Sizes) -> NDArray[Any]:
    """Cut a block out of the last axes, mirrored where it lies beyond the image."""
    for axis, (first, side, length) in enumerate(zip(start, sides, whole, strict=True)):
        at = axis - len(whole)
        if first >= 0 and first + side <= length:
            part: Any = (..., slice(first, first + side), *(slice(None),) * (-at - 1))
            array = array[part]
        else:
            places = np.arange(first, first + side) % (2 * length)
            array = array.take(np.minimum(places, 2 * length - 1 - places), axis=at)
    return array
