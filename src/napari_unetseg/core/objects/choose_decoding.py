"""Choice of the decoding options by objects that are known: those that give the best objects.

The network runs once. Its outputs are decoded with different levels, waists and seed heights; a
smallest size and a lowest score are then chosen by counting, as they only remove objects.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.objects.decode import DecodeOptions, decode, object_certainty
from napari_unetseg.core.objects.decoders import SPLIT_DEPTH, DecoderSpec
from napari_unetseg.core.progress import Progress, silent
from napari_unetseg.core.scoring.object_scores import ObjectScores, best_of, object_scores
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]

FEWEST_OBJECTS = 20
"""Smallest number of true objects from which options are chosen."""

CAUTIOUS_SHARE = 0.05
"""Smallest size, as a fraction of the median one, where too few objects are known for a choice."""

DEPTHS = (0.05, 0.1, SPLIT_DEPTH, 0.2, 0.25, 0.3, 0.4)
LEVELS = (0.3, 0.4, 0.5, 0.6, 0.7)
SEED_HEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
SIZE_SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Smallest sizes to choose from, as fractions of the median size of the true objects."""
SCORES = tuple(step / 20 for step in range(13))
"""Lowest scores to choose from."""

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
"""IoU thresholds of the AP whose mean is maximised."""

TOLERANCE = 0.02
"""Difference in the mean AP below which options are as good as others; with few objects, half the
standard error of a share of as many."""

_ROUNDS = 3
_SEARCHED: dict[str, tuple[float, ...]] = {
    "foreground": LEVELS,
    "split_depth": DEPTHS,
    "seed_height": SEED_HEIGHTS,
}


@dataclass(frozen=True, eq=False)
class KnownObjects:
    """Outputs of a network for an image, and the true objects in it.

    Parameters
    ----------
    foreground
        (*spatial): probability that a pixel belongs to any object.
    maps
        (maps, *spatial): the additional outputs of a model trained on objects.
    truth
        (*spatial): ids, 0 is background.
    counted
        (*spatial), bool: where the truth is known. Objects are cropped to it.
    spacing
        Physical size of a pixel along each axis, for splitting by shape.
    """

    foreground: Floats
    maps: Floats
    truth: NDArray[Any]
    counted: NDArray[np.bool_]
    spacing: tuple[float, ...] = ()


@dataclass(frozen=True)
class DecodingChoice:
    """Chosen decoding options and what they rest on.

    Parameters
    ----------
    options
        Only the chosen ones are set.
    before, after
        Scores with the options at first and with the chosen ones, on the objects they were chosen
        by, so a little optimistic.
    n_true
        Number of true objects; with fewer than `FEWEST_OBJECTS` the options are those at first.
    """

    options: DecodeOptions
    before: ObjectScores
    after: ObjectScores
    n_true: int

    @property
    def searched(self) -> bool:
        """Whether there were enough objects for a choice."""
        return self.n_true >= FEWEST_OBJECTS


def choose_decoding(
    known: Sequence[KnownObjects],
    decoder: DecoderSpec | None,
    usual: DecodeOptions = DecodeOptions(),  # noqa: B008 - frozen
    *,
    progress: Progress = silent,
) -> DecodingChoice | None:
    """Choose foreground level, waist, seed height, smallest size and lowest score together.

    Parameters
    ----------
    known
        Images that were not learnt from, or the choice is too optimistic.
    decoder
        The meaning of the maps. Without one, objects are connected components and only the
        smallest size is chosen.
    usual
        Options to start from. Where the scores are as good, the nearest to them are chosen.

    Returns
    -------
    DecodingChoice or None
        The options of the highest mean AP over `THRESHOLDS`; None without true objects.

    Notes
    -----
    Coordinate search: one option is changed at a time, until none of them improves. About 20
    decodings of each image, each of 0.1 s a megapixel. Of options that are as good within
    `TOLERANCE`, those nearest to the usual ones, or that remove least, are chosen: the curves are
    flat, and their maxima lie where they suit other images badly.
    """
    sizes = true_sizes([one.truth for one in known])
    if not sizes.size:
        return None
    search = _Search(known, decoder, sizes)
    before = search.scores(usual)
    if sizes.size < FEWEST_OBJECTS:
        return DecodingChoice(usual, before, before, sizes.size)
    searched = {} if decoder is None else _SEARCHED
    best, previous = search.trial(usual), None
    for turn in range(_ROUNDS):
        if best == previous:
            break
        previous = best
        for done, (name, values) in enumerate(searched.items(), start=turn * len(searched)):
            progress(done / _ROUNDS / len(searched), "choosing how objects are made")
            own = getattr(usual, name)
            trials = [
                search.trial(best.options.model_copy(update={name: value}))
                for value in sorted({*values, own}, key=lambda value: abs(value - own))
            ]
            best = search.first_as_good(trials)
    return DecodingChoice(best.options, before, search.scores(best.options), sizes.size)


def true_sizes(truths: Iterable[NDArray[Any]]) -> NDArray[np.int64]:
    """Return the pixels of each object of several images: (n,)."""
    counts = [np.unique(ids[ids > 0], return_counts=True)[1] for ids in truths]
    return np.concatenate([np.zeros(0, np.int64), *counts])


def cautious_decoding(usual: DecodeOptions, truths: Iterable[NDArray[Any]]) -> DecodeOptions:
    """Return options with a smallest size that none of the true objects is near to.

    It is `CAUTIOUS_SHARE` of the median size, and at most half the size of the smallest object.
    """
    sizes = true_sizes(truths)
    if not sizes.size:
        return usual
    smallest = _cautious_size(sizes)
    return usual.model_copy(update={"min_size": smallest} if smallest else {})


def _cautious_size(sizes: NDArray[np.int64]) -> int:
    return int(min(CAUTIOUS_SHARE * np.median(sizes), sizes.min() / 2))


def describe_decoding(options: DecodeOptions, choice: DecodingChoice | None) -> str:
    """Describe how a model makes objects, and what that rests on, in a sentence; or empty.

    Parameters
    ----------
    choice
        None where nothing was held out.
    """
    if choice is not None and choice.searched:
        fields = DecodeOptions.model_fields
        chosen = [
            f"{str(fields[name].title).lower()} {value:g}"
            for name, value in options.model_dump(exclude_unset=True).items()
            if not isinstance(value, str)
        ]
        return (
            f"Objects are made with {', '.join(chosen)}: the best for {choice.n_true} known "
            f"objects (AP@0.5 {choice.before.ap50:.3f} before, {choice.after.ap50:.3f} after; on "
            "the same objects, so a little optimistic)."
        )
    if not options.min_size:
        return ""
    known = "no object was held out"
    if choice is not None:
        known = (
            "1 object is too few" if choice.n_true == 1 else f"{choice.n_true} objects are too few"
        )
    return (
        f"Objects under {options.min_size} pixels, far below the usual size, are removed: "
        f"{known} to choose by."
    )


@dataclass(frozen=True)
class _Trial:
    """Options, and their mean AP."""

    options: DecodeOptions
    ap: float


class _Search:
    """Decodings of known objects, each made once."""

    def __init__(
        self, known: Sequence[KnownObjects], decoder: DecoderSpec | None, sizes: NDArray[np.int64]
    ) -> None:
        self._known, self._decoder, self._n_true = known, decoder, sizes.size
        least, median = _cautious_size(sizes), float(np.median(sizes))
        shares = {round(share * median) for share in SIZE_SHARES}
        self._smallest = sorted({least} | {size for size in shares if size > least})
        self._lowest: list[dict[str, float]] = [{}]
        if decoder is not None:
            self._lowest = [{"min_score": score} for score in SCORES]
        self._found: dict[DecodeOptions, Reals] = {}

    def trial(self, options: DecodeOptions) -> _Trial:
        """Choose the smallest size and the lowest score for other options."""
        whole = options.model_copy(update={"min_size": 0, "min_score": 0.0})
        if whole not in self._found:
            found = [self._objects(one, whole) for one in self._known]
            self._found[whole] = np.concatenate(found)
        sizes, scores, iou = self._found[whole].T
        return self.first_as_good(
            [
                _Trial(
                    options.model_copy(update={"min_size": smallest, **lowest}),
                    self._mean_ap(
                        iou[(sizes >= smallest) & (scores >= lowest.get("min_score", 0.0))]
                    ),
                )
                # A score, unlike a size, means the same at another scale: so sizes rise last.
                for smallest in self._smallest
                for lowest in self._lowest
            ]
        )

    def first_as_good(self, trials: Sequence[_Trial]) -> _Trial:
        """Return the first trial that is as good as the best; see `TOLERANCE`."""
        top = max(trial.ap for trial in trials)
        error = (top * (1 - top) / self._n_true) ** 0.5
        tolerance = max(TOLERANCE, error / 2)
        return next(trial for trial in trials if trial.ap >= top - tolerance)

    def scores(self, options: DecodeOptions) -> ObjectScores:
        """Compute the scores of one decoding."""
        return object_scores(Overlap.joined([self._overlap(o, options)[0] for o in self._known]))

    def _objects(self, one: KnownObjects, options: DecodeOptions) -> Reals:
        """Return size, score and best IoU of each predicted object that is counted: (n, 3)."""
        overlap, labels = self._overlap(one, options)
        n = int(labels.max(initial=0))
        scores = object_certainty(
            labels, n, one.foreground, one.maps, self._decoder, level=options.foreground
        )
        sizes = np.bincount(labels.reshape(-1), minlength=n + 1)[1:]
        at = overlap.prediction_ids - 1
        best = best_of(overlap.prediction, overlap.iou(), overlap.n_predicted)
        return np.stack([sizes[at], scores[at], best], axis=1)

    def _overlap(self, one: KnownObjects, options: DecodeOptions) -> tuple[Overlap, NDArray[Any]]:
        labels, _ = decode(one.foreground, one.maps, self._decoder, options, spacing=one.spacing)
        return overlap_of(np.where(one.counted, labels, 0), one.truth), labels

    def _mean_ap(self, iou: Reals) -> float:
        """Compute the mean AP of objects with these best IoU."""
        matched = [np.count_nonzero(iou > threshold) for threshold in THRESHOLDS]
        return float(np.mean([n / (len(iou) + self._n_true - n) for n in matched]))


__all__ = [
    "CAUTIOUS_SHARE",
    "FEWEST_OBJECTS",
    "DecodingChoice",
    "KnownObjects",
    "cautious_decoding",
    "choose_decoding",
    "describe_decoding",
    "true_sizes",
]
