"""`compare`: every rung on the same annotation, judged on the same pixels, and a recommendation."""

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import (
    AnnotatedImage,
    AnnotationKind,
    TrainingPair,
    check_shape,
)
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import Reading, TrainingSet
from napari_unetseg.core.annotation.training_step import Callbacks, TrainingStep, Watch
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features import filter_bank
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import predict_classes_image
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.progress import Progress, StopEarly, part, silent, to_the_end
from napari_unetseg.core.scoring.pixel_scores import Scores, mean_scores
from napari_unetseg.core.training.train import check_torch, train_on_set

Confusion = NDArray[np.int64]

WORTH = 0.01
"""A gain in Dice of less than this is not worth a slower model."""

AS_QUICK = 1.5
"""Less than so many times the seconds is no difference: a clock on a busy machine says no more."""

GUESSING = 0.2
"""A model with less than this of the way from guessing to perfect has learnt nothing of use. In
terms of kappa, agreement below it is called slight (Landis and Koch, Biometrics 33, 1977)."""

FEW = 200
"""With fewer held-out pixels of a class than this a difference may be chance."""

_AT_ONCE = 0.05  # time of a rung that is fitted at once, next to a network's
_TRAINING_SHARE = 0.9
_SECONDS_TIMED = 0.25
_MOST_PASSES = 5
_WARM_UP = (8, 64, 64)


@dataclass(frozen=True, eq=False)
class Row:
    """What came of one rung.

    Parameters
    ----------
    asked
        Name of the rung that was to be trained.
    model
        What was trained and judged; None where that failed. A network that did worse than the
        rung it climbed on was replaced by that: see `fell_back`.
    scores
        Mean over the foreground classes of what was held out; None without a model.
    classes
        Dice by the class's name.
    chance
        Dice of a guess that takes as many pixels for each class, wherever they lie.
    seconds
        How long the training took.
    seconds_per_megapixel
        How long predicting took, for a million pixels (voxels of a stack).
    message
        What the training said, or why there is no model.
    """

    asked: str
    model: TrainedModel | None = None
    scores: Scores | None = None
    classes: Mapping[str, float] = field(default_factory=dict)
    chance: float = 0.0
    seconds: float = 0.0
    seconds_per_megapixel: float = 0.0
    message: str = ""

    @property
    def kind(self) -> str:
        """Name of the rung that the model is of; of the one that was asked for without a model."""
        return self.asked if self.model is None else self.model.spec.kind

    @property
    def fell_back(self) -> bool:
        """Whether the model is the rung that a network was to climb on."""
        return self.kind != self.asked

    @property
    def label(self) -> str:
        """What it is, for people."""
        return f"{self.kind} ({self.asked} fell back on it)" if self.fell_back else self.kind

    @property
    def dice(self) -> float:
        """Dice on what was held out; 0 without a model."""
        return 0.0 if self.scores is None else self.scores.dice

    @property
    def skill(self) -> float:
        """Where it lies between a guess, 0, and perfect, 1."""
        return (self.dice - self.chance) / max(1 - self.chance, 1e-9)

    def as_json(self) -> dict[str, Any]:
        """Return the row without its model, as JSON holds it."""
        judged: dict[str, Any] = {}
        if self.scores is not None:
            judged = asdict(self.scores) | {
                "chance": self.chance,
                "classes": dict(self.classes),
                "seconds_per_megapixel": self.seconds_per_megapixel,
            }
        said = {"asked": self.asked, "model": None if self.model is None else self.kind}
        return said | judged | {"seconds": self.seconds, "message": self.message}


@dataclass(frozen=True, eq=False)
class Scoreboard:
    """All rungs that were tried.

    Parameters
    ----------
    rows
        In the order they were tried.
    held_out
        How many pixels of each class, by its name, they were judged by.
    untried
        Names of the rungs that the user did not wait for.
    """

    rows: tuple[Row, ...]
    held_out: Mapping[str, int]
    untried: tuple[str, ...] = ()

    @property
    def best(self) -> Row | None:
        """The row with the highest Dice; the earlier of equals. None without a model."""
        rows = self._candidates
        return max(rows, key=lambda row: row.dice) if rows else None

    @property
    def recommended(self) -> Row | None:
        """The best of the quickest to predict of those hardly worse than the best of all.

        None when none does better than guessing.
        """
        best = self.best
        if best is None or best.skill < GUESSING:
            return None
        near = [row for row in self._candidates if row.dice > best.dice - WORTH or row is best]
        quickest = min(row.seconds_per_megapixel for row in near)
        quick = [row for row in near if row.seconds_per_megapixel <= AS_QUICK * quickest]
        return max(quick, key=lambda row: row.dice)

    @property
    def kept(self) -> Row | None:
        """The row whose model to keep: the one recommended, or else the best there is."""
        return self.recommended or self.best

    @property
    def recommendation(self) -> str:
        """Which model to use, and why, in a few sentences."""
        best, chosen = self.best, self.recommended
        if best is None:
            return "No model was finished, so there is nothing to compare."
        if chosen is None:
            return (
                f"No model does better than guessing: the best, {best.label}, has a Dice of "
                f"{best.dice:.3f}, and a guess {best.chance:.3f}. Check what the labels stand for, "
                f"or paint more of them.{self._untried}"
            )
        why = self._lead(best) if chosen is best else _bargain(chosen, best)
        said = f"Use {chosen.label}: Dice {chosen.dice:.3f} on held-out labels{why}."
        return f"{said}{self._caution}{self._untried}"

    def as_json(self) -> dict[str, Any]:
        """Return what JSON can hold: all but the models."""
        chosen = self.recommended
        return {
            "recommended": None if chosen is None else chosen.kind,
            "recommendation": self.recommendation,
            "held_out_pixels": dict(self.held_out),
            "untried": list(self.untried),
            "models": [row.as_json() for row in self.rows],
        }

    @property
    def _candidates(self) -> list[Row]:
        """The rows with a model; what a network fell back on gives way to that rung's own row."""
        tried = {row.kind for row in self.rows if row.model is not None and not row.fell_back}
        return [
            row
            for row in self.rows
            if row.model is not None and not (row.fell_back and row.kind in tried)
        ]

    def _lead(self, best: Row) -> str:
        others = [row for row in self._candidates if row is not best]
        if not others:
            return ""
        second = max(others, key=lambda row: row.dice)
        lead = f"{best.dice - second.dice:.3f}"
        if lead == "0.000":
            return f", tied with {second.label}"
        return f", {lead} above the next best, {second.label}"

    @property
    def _caution(self) -> str:
        said = ""
        unjudged = [name for name, count in self.held_out.items() if not count]
        if unjudged:
            said += (
                f" Nothing of {', '.join(unjudged)} could be held out: paint a second stroke of it "
                "for a score."
            )
        fewest = min((count for count in self.held_out.values() if count), default=0)
        if fewest < FEW:
            said += (
                f" Only {fewest} pixels of a class were held out: paint more before trusting small "
                "differences."
            )
        return said

    @property
    def _untried(self) -> str:
        return f" Not tried: {', '.join(self.untried)}." if self.untried else ""


def compare(
    specs: Sequence[ModelSpec],
    lessons: Sequence[TrainingPair],
    options: TrainOptions,
    *,
    labels_are: AnnotationKind = "scribbles",
    ndim: int = 2,
    scaling: NormalisationSpec = NormalisationSpec(),  # noqa: B008 - frozen
    class_names: Sequence[str] = (),
    told: Callable[[Row], None] | None = None,
    watch: Watch | None = None,
    progress: Progress = silent,
) -> Scoreboard:
    """Train several rungs on the same annotation and judge them on the same held-out pixels.

    Parameters
    ----------
    specs
        The rungs, in the order to try them.
    lessons, labels_are, ndim, scaling, class_names
        As for `train`.
    options
        How the networks are trained: the budget is that of each. `validation` is the share that
        is held out for judging, as whole strokes, tiles or images; no rung sees it. Of the rest a
        network holds out the same share again, to find its own best moment.
    told
        Told each row as it is done, in this thread.
    watch
        Told while a network learns.
    progress
        May cancel, which keeps nothing, or stop early: then the rungs that are done, and the one
        that was learning if it had learnt anything, make the board.

    Returns
    -------
    Scoreboard
        A rung that cannot be trained has a row that says why, and takes no other down. The models
        are those that were judged, so they learnt from what was not held out.

    Raises
    ------
    InputError
        When nothing can be learnt or held out, or no rung at all could be trained.

    Notes
    -----
    Libraries are loaded before any clock runs. Predicting is timed on the planes or stacks that
    hold what was held out, after a first piece that compiles, with the scaling of intensities and
    the overlap of tiles, without reading from disk. What takes less than a quarter of a second is
    repeated, and the quickest pass counts.
    """
    check_torch()
    _check(specs, lessons, options)
    reading = Reading(labels_are, ndim, scaling, tuple(class_names))
    learnt, held = reading.divide(lessons, options)
    data = TrainingSet.of(learnt, options, reading)
    # The planes or stacks that hold what was held out.
    exam = reading.images(held)
    annotation = exam[0].annotation
    counts = np.sum([example.annotation.counts() for example in exam], axis=0)
    listening = _Listening(progress)
    shares = [1.0 if spec.learns_features else _AT_ONCE for spec in specs]
    ends = np.cumsum([0.0, *shares]) / sum(shares)
    rows: list[Row] = []
    _warm_up(exam[0])
    for spec, start, end in zip(specs, ends[:-1], ends[1:], strict=True):
        here = _named(part(listening, float(start), float(end)), spec.kind)
        try:
            here(0.0, "beginning")
            row = _row(spec, data, exam, options, Callbacks(here, watch))
        except StopEarly:
            break
        rows.append(row)
        if told is not None:
            told(row)
        if listening.stopped:
            break
    if rows and all(row.model is None for row in rows):
        raise InputError(f"No model could be trained. {rows[0].asked}: {rows[0].message}")
    untried = tuple(spec.kind for spec in specs[len(rows) :])
    held_out = dict(zip(annotation.names, map(int, counts), strict=True))
    return Scoreboard(tuple(rows), held_out, untried)


class _Listening:
    """A `Progress` that remembers being asked to stop, which may come when it cannot be heeded."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self.stopped = progress, False

    def __call__(self, fraction: float, message: str = "", /) -> None:
        try:
            self._progress(fraction, message)
        except StopEarly:
            self.stopped = True
            raise


def _check(
    specs: Sequence[ModelSpec], lessons: Sequence[TrainingPair], options: TrainOptions
) -> None:
    if not specs:
        raise InputError("No model is chosen. Choose two or more to compare.")
    if not lessons:
        raise InputError("There is no image to learn from. Give at least one with its labels.")
    if options.validation <= 0:
        raise InputError(
            "Models are compared on what is held out, but the validation share is 0. Hold out a "
            "part, such as 0.2."
        )
    for lesson in lessons:
        check_shape(lesson.image, np.asarray(lesson.labels))
    channels = sorted({lesson.image.n_channels for lesson in lessons})
    if len(channels) > 1:
        raise InputError(
            f"The images have different numbers of channels ({channels}). Compare on images of one "
            "kind."
        )


def _warm_up(example: AnnotatedImage) -> None:
    """Load and compile what the first rung would be charged for."""
    importlib.import_module("napari_unetseg.core.nn.training.distil")
    importlib.import_module("napari_unetseg.core.nn.training.fit_pixels")
    ndim = example.image.ndim - 1
    filter_bank(np.zeros((1, *_WARM_UP[-ndim:]), np.float32), LogisticSpec())


def _row(
    spec: ModelSpec,
    data: TrainingSet,
    exam: Sequence[AnnotatedImage],
    options: TrainOptions,
    callbacks: Callbacks,
) -> Row:
    """Train and judge one rung.

    Raises
    ------
    StopEarly
        When the user did not wait for anything to be learnt.
    """
    if not spec.learns_features:
        # It has no best moment to look for, so holding out a second time would be for nothing.
        data, options = data.without_validation(), options.model_copy(update={"validation": 0.0})
    began, steps = time.monotonic(), 0

    def count(record: TrainingStep) -> None:
        nonlocal steps
        steps += 1
        if callbacks.watch is not None:
            callbacks.watch(record)

    try:
        told = replace(callbacks.part(0, _TRAINING_SHARE), watch=count)
        model = train_on_set(spec, data, options, name=spec.kind, callbacks=told).model
        seconds = time.monotonic() - began
        if not steps and spec.learns_features:
            raise StopEarly
        last = callbacks.part(_TRAINING_SHARE, 1)
        return _judged(spec, model, exam, seconds, options, last.progress)
    except (InputError, MemoryError) as error:
        said = str(error) or "The memory does not suffice."
        return Row(spec.kind, seconds=time.monotonic() - began, message=said)


def _judged(
    spec: ModelSpec,
    model: TrainedModel,
    exam: Sequence[AnnotatedImage],
    seconds: float,
    options: TrainOptions,
    progress: Progress,
) -> Row:
    predicted, rate = _timed(model.segmenter(options.device), exam, to_the_end(progress))
    annotation = exam[0].annotation
    confusion = _confusion(predicted, exam)
    both, true, said = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    front = [k for k in annotation.foreground if true[k]]
    each = {k: Scores.of_areas(int(both[k]), int(said[k]), int(true[k])) for k in front}
    scores = mean_scores(each.values())
    # So many pixels of two sets meet when they lie at random.
    guessed = 2 * said[front] * true[front] / confusion.sum() / (said[front] + true[front])
    kind = model.spec.kind
    return Row(
        spec.kind,
        replace(model, name=kind, scores={"dice": scores.dice, "iou": scores.iou}),
        scores,
        {annotation.names[k]: one.dice for k, one in each.items()},
        float(guessed.mean()),
        seconds,
        1e6 * rate,
        "" if kind == spec.kind else f"The {spec.kind} scored lower than its guide, {kind}.",
    )


def _timed(
    segmenter: Segmenter, exam: Sequence[AnnotatedImage], progress: Progress
) -> tuple[list[NDArray[np.uint8]], float]:
    """Return the class of each pixel of each example, and the seconds that one pixel took."""
    _predicted(segmenter, [_corner(exam[0])], silent)
    took: list[float] = []
    while not took or (sum(took) < _SECONDS_TIMED and len(took) < _MOST_PASSES):
        began = time.perf_counter()
        predicted = _predicted(segmenter, exam, progress)
        took.append(time.perf_counter() - began)
    return predicted, min(took) / sum(classes.size for classes in predicted)


def _predicted(
    segmenter: Segmenter, exam: Sequence[AnnotatedImage], progress: Progress
) -> list[NDArray[np.uint8]]:
    """Return the index of the class of each pixel of each example: (*spatial) each."""
    predicted = []
    for number, example in enumerate(exam):
        image = Image(example.image, example.axes)
        here = part(progress, number / len(exam), (number + 1) / len(exam))
        classes = predict_classes_image(image, segmenter, example.scale(), progress=here)
        predicted.append(classes.asarray())
    return predicted


def _corner(example: AnnotatedImage) -> AnnotatedImage:
    """Return a first piece, so that loading and compiling are not timed."""
    where = tuple(slice(side) for side in _WARM_UP[1 - example.image.ndim :])
    annotation = replace(example.annotation, targets=example.annotation.targets[where])
    return replace(example, image=example.image[(slice(None), *where)], annotation=annotation)


def _confusion(predicted: Sequence[NDArray[np.uint8]], exam: Sequence[AnnotatedImage]) -> Confusion:
    """Return how many held-out pixels of each class (row) were taken for each: (K, K)."""
    n = exam[0].annotation.n_classes
    confusion = np.zeros((n, n), np.int64)
    for classes, example in zip(predicted, exam, strict=True):
        known = example.annotation.counted
        pairs = example.annotation.targets[known].astype(np.int64) * n + classes[known]
        confusion += np.bincount(pairs, minlength=n * n).reshape(n, n)
    return confusion


def _bargain(chosen: Row, best: Row) -> str:
    """Say what a quicker model gives up for its speed."""
    faster = best.seconds_per_megapixel / max(chosen.seconds_per_megapixel, 1e-9)
    speed = f"{faster:.0f} times" if faster >= 3 else f"{faster:.1f} times"
    return f", as good as {best.label} ({best.dice:.3f}) and {speed} as fast"


def _named(progress: Progress, name: str) -> Progress:
    """Put the rung's name before what its training tells."""

    def inner(fraction: float, message: str = "", /) -> None:
        progress(fraction, f"{name}: {message}" if message else name)

    return inner


__all__ = ["AS_QUICK", "FEW", "GUESSING", "WORTH", "Row", "Scoreboard", "compare"]
