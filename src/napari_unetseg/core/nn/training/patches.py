"""Where training looks: patches drawn around labels, and windows to judge by."""

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
"""Most labelled pixels of a class of an image that patches are drawn around."""

WINDOW_PIXELS = 2**22
"""Most pixels that are predicted to judge a network once."""


@dataclass(frozen=True)
class Shape:
    """Sides of what a network takes and gives, and where the one lies in the other.

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
    """Cuts the same patch out of image, position, annotation and guess."""

    def __init__(self, spec: ModelSpec, shape: Shape) -> None:
        self._spec, self._shape = spec, shape

    def image(self, source: AnnotatedImage, start: Sizes) -> NDArray[np.float32]:
        """Return (inputs, *patch) for the patch whose result starts at `start`."""
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
        """Return classes, how much they count, and where nothing is annotated: (*result) each.

        None counts more than once. What weighs more is met more often instead, with all that is
        around it: ink is mostly on one side of an edge, and would push that edge away.
        """
        whole, sides = source.annotation.shape, self._shape.result
        target = _cut(source.annotation.targets, start, sides, whole)
        known = target != IGNORED
        others = ~known
        for axis, (first, side, length) in enumerate(zip(start, sides, whole, strict=True)):
            # Beyond the edge an image is mirrored, but nobody painted there.
            beyond = (slice(None),) * axis + (slice(max(length - first, 0), side),)
            known[beyond] = others[beyond] = False
        counts = known.astype(np.float32)
        if source.annotation.weights is not None:
            counts *= np.minimum(_cut(source.annotation.weights, start, sides, whole), 1)
        return np.where(known, target, 0), counts, others

    def maps(self, source: AnnotatedImage, start: Sizes) -> NDArray[np.float32] | None:
        """Return what a decoder of objects is to say, (maps, *result), if there is one."""
        return self._graded(source.maps, source, start)

    def guess(self, source: AnnotatedImage, start: Sizes) -> NDArray[np.float32] | None:
        """Return the probabilities that a lower rung gives, (classes, *result), if there is one."""
        return self._graded(source.guess, source, start)

    def _graded(
        self, whole: NDArray[np.float16] | None, source: AnnotatedImage, start: Sizes
    ) -> NDArray[np.float32] | None:
        if whole is None:
            return None
        cut = _cut(whole, start, self._shape.result, source.annotation.shape)
        return cut.astype(np.float32)


class Drawer:
    """Draws batches around labelled pixels.

    Parameters
    ----------
    sources
        Images with what is learnt from.
    reader, shape
        How patches are cut.
    by_class, shares
        See `patch_odds`.
    class_weights
        (classes,): weight of a pixel of each class.
    rng
        All that is random.
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
        """Return `n` patches.

        Parameters
        ----------
        guess
            Whether what a lower rung guesses is learnt too. Then half of the patches lie anywhere.
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
        """Return an image and the start of the result of a patch in it."""
        sides = np.array(self._shape.result)
        if anywhere:
            source = self._sources[int(self._rng.integers(len(self._sources)))]
            pixel = self._rng.integers(source.annotation.shape)
        else:
            choice = int(self._rng.choice(len(self._odds), p=self._odds))
            i, k = divmod(choice, len(self._class_weights))
            source, places = self._sources[i], self._places[i][k]
            pixel = np.array(np.unravel_index(self._rng.choice(places), source.annotation.shape))
        # The pixel may come to lie anywhere in the patch but in its outermost eighth.
        margin = sides // 8
        start = pixel - self._rng.integers(margin, np.maximum(sides - margin, margin + 1))
        limit = np.maximum(np.array(source.annotation.shape) - sides, 0)
        return source, tuple(int(s) for s in np.clip(start, 0, limit))


@dataclass(frozen=True)
class Judgement:
    """How good a prediction is on what was held out.

    Parameters
    ----------
    dice
        Mean over the classes that count (a mask's background does not) and were held out.
    loss
        Mean cross-entropy over the held-out pixels, each class weighing the same.
    per_class
        Dice of each class; NaN when none of it was held out.
    maps_error
        Mean absolute error of a decoder's maps over the held-out foreground; 0 without a decoder.
    guess_error
        Mean absolute difference from the probabilities that a lower rung gives, where nothing is
        annotated; 0 without a guess.
    """

    dice: float
    loss: float
    per_class: tuple[float, ...]
    maps_error: float = 0.0
    guess_error: float = 0.0

    @property
    def rank(self) -> tuple[float, float]:
        """What a better one has more of: Dice to three decimals, then less loss.

        A few held-out strokes are soon all right; the loss still tells one from another. Where
        objects are learnt, what parts them counts as much as Dice. Where a lower rung's guess is
        learnt, so does that: a network that finds far too much may be right on all the strokes.
        """
        return (round(self.dice - self.maps_error - self.guess_error, 3), -self.loss)


class Windows(NamedTuple):
    """Some windows to judge by.

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
    """Judges predictions in windows that together hold what was held out.

    Of a window of the patch's sides, the inner three quarters count, so that every judged pixel
    has its surroundings. More than `WINDOW_PIXELS` are thinned out at random.
    """

    def __init__(self, sources: Sequence[AnnotatedImage], reader: Reader, shape: Shape) -> None:
        self._sources, self._reader, self._shape = sources, reader, shape
        annotation = sources[0].annotation
        self.n_classes, self.foreground = annotation.n_classes, annotation.foreground
        windows = [(s, start) for s in sources for start in self._windows(s.annotation)]
        most = max(1, WINDOW_PIXELS // int(np.prod(shape.patch)))
        # A fixed stride could fall in step with the grid's columns and judge one of them alone.
        chosen = np.random.default_rng(0).permutation(len(windows))[:most]
        self._chosen = [windows[k] for k in sorted(chosen)]

    def __bool__(self) -> bool:
        return bool(self._chosen)

    def batches(self, n: int) -> Iterator[Windows]:
        """Yield `n` windows at a time."""
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
        """Return the targets of a window, nothing counting in its rim or beyond the image."""
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
    """Adds up what agrees and what does not, batch by batch."""

    def __init__(self, n_classes: int, foreground: Sequence[int]) -> None:
        self._confusion = np.zeros((n_classes, n_classes), np.int64)
        self._surprise = np.zeros(n_classes)
        self._foreground = foreground
        self._maps, self._guess = _Mean(), _Mean()

    def add(self, proba: NDArray[np.float32], target: NDArray[np.uint8]) -> None:
        """Count (N, classes, *spatial) probabilities against (N, *spatial) targets."""
        known = target != IGNORED
        truth = target[known].astype(np.int64)
        said = np.moveaxis(proba, 1, -1)[known]
        n = len(self._confusion)
        pairs = np.bincount(truth * n + said.argmax(1), minlength=n * n)
        self._confusion += pairs.reshape(n, n)
        surprise = -np.log(np.maximum(said[np.arange(len(truth)), truth], 1e-7))
        self._surprise += np.bincount(truth, surprise, minlength=n)

    def add_maps(
        self,
        said: NDArray[np.float32],
        true: NDArray[np.float32],
        target: NDArray[np.uint8],
    ) -> None:
        """Count (N, maps, *spatial) maps against the true ones where `target` is foreground."""
        objects = (target != IGNORED) & (target > 0)
        self._maps.add(np.abs(said - true).mean(1)[objects])

    def add_guess(
        self,
        said: NDArray[np.float32],
        guess: NDArray[np.float32],
        target: NDArray[np.uint8],
    ) -> None:
        """Count (N, classes, *spatial) probabilities against the guess where nothing is known."""
        self._guess.add(np.abs(said - guess).mean(1)[target == IGNORED])

    def judgement(self) -> Judgement:
        """Return the result of all that was added."""
        both = self._confusion.diagonal()
        truth, said = self._confusion.sum(1), self._confusion.sum(0)
        dice = np.where(truth > 0, 2 * both / np.maximum(truth + said, 1), np.nan)
        front = [k for k in self._foreground if truth[k]]
        there = truth > 0
        return Judgement(
            float(dice[front].mean()) if front else 0.0,
            float((self._surprise[there] / truth[there]).mean()) if there.any() else 0.0,
            tuple(map(float, dice)),
            self._maps.value,
            self._guess.value,
        )


class _Mean:
    """The mean of numbers that come in parts; 0 of none."""

    def __init__(self) -> None:
        self._sum, self._n = 0.0, 0

    def add(self, numbers: NDArray[np.float32]) -> None:
        self._sum += float(numbers.sum())
        self._n += numbers.size

    @property
    def value(self) -> float:
        return self._sum / max(self._n, 1)


def _places(annotation: Annotation, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return for each class the flat indices of its pixels, a random part of very many.

    What counts more is there as many times more often.
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
    made = [block for block in blocks if block is not None]
    return np.stack(made) if made else None


def _counted(graded: Sequence[NDArray[np.float32] | None], counts: NDArray[Any]) -> Tensor | None:
    """Return the maps or guesses of patches with one more, which says how much they count."""
    made = _stacked(graded)
    if made is None:
        return None
    return torch.from_numpy(np.concatenate([made, counts[:, None]], 1, dtype=np.float32))


def _cut(array: NDArray[Any], start: Sizes, sides: Sizes, whole: Sizes) -> NDArray[Any]:
    """Return a block of the last axes, mirrored where it lies beyond the image."""
    for axis, (first, side, length) in enumerate(zip(start, sides, whole, strict=True)):
        at = axis - len(whole)
        if first >= 0 and first + side <= length:
            part: Any = (..., slice(first, first + side), *(slice(None),) * (-at - 1))
            array = array[part]
        else:
            places = np.arange(first, first + side) % (2 * length)
            array = array.take(np.minimum(places, 2 * length - 1 - places), axis=at)
    return array
