"""Where training looks: patches drawn around labels, and windows to judge by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unetseg.core.annotation import IGNORED, Annotation
from napari_unetseg.core.models import ModelSpec
from napari_unetseg.core.nn.augment import Batch
from napari_unetseg.core.normalisation import Normalisation
from napari_unetseg.core.position import position_terms

Sizes = tuple[int, ...]

PLACES = 200_000
"""Most labelled pixels of a class of an image that patches are drawn around."""

WINDOW_PIXELS = 2**22
"""Most pixels that are predicted to judge a network once."""


@dataclass(frozen=True, eq=False)
class Source:
    """One annotated image as training reads it: nothing is normalised before it is needed.

    Parameters
    ----------
    image
        (C, *spatial), any numbers.
    annotation
        What is learnt from, or judged by.
    normalisation
        Of the image.
    guess
        (*spatial), uint8: classes to learn where nothing is annotated; `IGNORED` where unsure.
    maps
        (maps, *spatial): what a decoder of objects is to say.
    """

    image: NDArray[Any]
    annotation: Annotation
    normalisation: Normalisation
    guess: NDArray[np.uint8] | None = None
    maps: NDArray[np.float16] | None = None


@dataclass(frozen=True)
class Shape:
    """Sides of what a network takes and gives, and where the one lies in the other.

    Parameters
    ----------
    patch, result
        Sides in pixels.
    offset
        Place of the result in the patch; zeros unless convolutions are not padded.
    """

    patch: Sizes
    result: Sizes
    offset: Sizes


class Reader:
    """Cuts the same patch out of image, position, annotation and guess."""

    def __init__(self, spec: ModelSpec, shape: Shape) -> None:
        self._spec, self._shape = spec, shape

    def image(self, source: Source, start: Sizes) -> NDArray[np.float32]:
        """Return (inputs, *patch) for the patch whose result starts at `start`."""
        whole = source.annotation.shape
        origin = tuple(s - o for s, o in zip(start, self._shape.offset, strict=True))
        block = source.normalisation.apply(_cut(source.image, origin, self._shape.patch, whole))
        spec = self._spec
        if spec.position == "none":
            return block
        patch = self._shape.patch
        terms = position_terms(
            spec.position, spec.position_order, origin=origin, block=patch, shape=whole
        )
        return np.concatenate([block, terms])

    def targets(
        self, source: Source, start: Sizes
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
        """Return classes, where they are annotated, and where they are guessed: (*result) each."""
        whole, sides = source.annotation.shape, self._shape.result
        target = _cut(source.annotation.targets, start, sides, whole)
        known = target != IGNORED
        guessed = np.zeros_like(known)
        if source.guess is not None:
            guess = _cut(source.guess, start, sides, whole)
            guessed = ~known & (guess != IGNORED)
            target = np.where(guessed, guess, target)
        for axis, (first, side, length) in enumerate(zip(start, sides, whole, strict=True)):
            # Beyond the edge an image is mirrored, but nobody painted there.
            beyond = (slice(None),) * axis + (slice(max(length - first, 0), side),)
            known[beyond] = guessed[beyond] = False
        return np.where(known | guessed, target, 0), known, guessed

    def maps(self, source: Source, start: Sizes) -> NDArray[np.float32] | None:
        """Return what a decoder of objects is to say, (maps, *result), if there is one."""
        if source.maps is None:
            return None
        whole = source.annotation.shape
        return _cut(source.maps, start, self._shape.result, whole).astype(np.float32)


class Drawer:
    """Draws batches around labelled pixels.

    Parameters
    ----------
    sources
        Images with what is learnt from.
    reader, shape
        How patches are cut.
    by_class
        Choose the class first, each as often; otherwise any labelled pixel.
    class_weights
        (classes,): weight of a pixel of each class.
    rng
        All that is random.
    n_objects
        How many objects each source shows, where they are told apart: an image is then drawn as
        often as it has objects, not pixels of them, or else a few large ones would be nearly all
        that is seen.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        reader: Reader,
        shape: Shape,
        *,
        by_class: bool,
        class_weights: NDArray[np.float32],
        rng: np.random.Generator,
        n_objects: Sequence[int] | None = None,
    ) -> None:
        self._sources, self._reader, self._shape = sources, reader, shape
        self._class_weights, self._rng = class_weights, rng
        self._places = [_places(source.annotation, rng) for source in sources]
        counts = np.array([source.annotation.counts() for source in sources], float)
        if n_objects is not None:
            parts = counts > 0 if by_class else counts / np.maximum(counts.sum(1, keepdims=True), 1)
            counts = parts * (np.array(n_objects)[:, None] + 1.0)
        present = counts.sum(0) > 0
        if by_class:
            counts = counts / np.maximum(counts.sum(0), 1) * present
        self._odds = (counts / counts.sum()).ravel()
        self.n_pixels = int(sum(source.annotation.counted.sum() for source in sources))

    def draw(self, n: int, *, guess: float = 0.0) -> Batch:
        """Return `n` patches.

        Parameters
        ----------
        guess
            Weight of all that is guessed together, beside that of all that is annotated. While it
            is more than 0, half of the patches lie anywhere.
        """
        parts, maps = [], []
        for _ in range(n):
            source, start = self._place(anywhere=guess > 0 and self._rng.random() < 0.5)
            parts.append((self._reader.image(source, start), *self._reader.targets(source, start)))
            maps.append(self._reader.maps(source, start))
        image, target, known, guessed = map(np.stack, zip(*parts, strict=True))
        weight = np.where(known, self._class_weights[target], np.float32(0))
        if guess > 0 and guessed.any():
            weight[guessed] = guess * max(float(weight.sum()), 1.0) / guessed.sum()
        n_image = len(self._sources[0].image)
        return Batch(
            torch.from_numpy(image),
            torch.from_numpy(target.astype(np.int64)),
            torch.from_numpy(weight),
            n_image,
            _counted(maps, known),
        )

    def _place(self, *, anywhere: bool) -> tuple[Source, Sizes]:
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
    """

    dice: float
    loss: float
    per_class: tuple[float, ...]
    maps_error: float = 0.0

    @property
    def rank(self) -> tuple[float, float]:
        """What a better one has more of: Dice to three decimals, then less loss.

        A few held-out strokes are soon all right; the loss still tells one from another. Where
        objects are learnt, what parts them counts as much as Dice.
        """
        return (round(self.dice - self.maps_error, 3), -self.loss)


class Judge:
    """Judges predictions in windows that together hold what was held out.

    Of a window of the patch's sides, the inner three quarters count, so that every judged pixel
    has its surroundings. More than `WINDOW_PIXELS` are thinned out at random.
    """

    def __init__(self, sources: Sequence[Source], reader: Reader, shape: Shape) -> None:
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

    def batches(
        self, n: int
    ) -> Iterator[tuple[Tensor, NDArray[np.uint8], NDArray[np.float32] | None]]:
        """Yield images (N, inputs, *patch), targets (N, *result) with the rims ignored, and maps.

        Maps are (N, maps, *result), or None where no objects are learnt.
        """
        for first in range(0, len(self._chosen), n):
            some = self._chosen[first : first + n]
            images = np.stack([self._reader.image(*window) for window in some])
            maps = [self._reader.maps(*window) for window in some]
            known = [one for one in maps if one is not None]
            targets = np.stack([self._inner(*window) for window in some])
            yield torch.from_numpy(images), targets, np.stack(known) if known else None

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

    def _inner(self, source: Source, start: Sizes) -> NDArray[np.uint8]:
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
        self._error, self._n_maps = 0.0, 0

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
        off = np.abs(said - true).mean(1)[objects]
        self._error += float(off.sum())
        self._n_maps += off.size

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
            self._error / max(self._n_maps, 1),
        )


def _places(annotation: Annotation, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return for each class the flat indices of its pixels, a random part of very many."""
    found = []
    for k in range(annotation.n_classes):
        places = np.flatnonzero(annotation.targets == k)
        found.append(rng.choice(places, PLACES) if len(places) > PLACES else places)
    return found


def _counted(maps: Sequence[NDArray[np.float32] | None], known: NDArray[np.bool_]) -> Tensor | None:
    """Return the maps of patches with one more, which says where they count."""
    made = [one for one in maps if one is not None]
    if not made:
        return None
    return torch.from_numpy(np.concatenate([np.stack(made), known[:, None]], 1, dtype=np.float32))


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
