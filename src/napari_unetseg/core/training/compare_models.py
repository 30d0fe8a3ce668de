"""`compare`: several rungs on one annotation, with scores and a recommendation."""

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import AnnotatedImage, TrainingPair, check_shape
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import (
    Reading,
    TrainingSet,
    fewest_strokes,
    least_of,
)
from napari_unetseg.core.annotation.training_step import Callbacks, TrainingStep, Watch
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features import filter_bank
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.open_segmenter import open_segmenter
from napari_unetseg.core.inference.predict_tiles import predict_classes_image
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.model.validation_score import is_shown
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.progress import Progress, StopEarly, part, silent, to_the_end
from napari_unetseg.core.scoring.pixel_scores import Scores, mean_scores
from napari_unetseg.core.training.train import check_torch, train_on_set

Confusion = NDArray[np.int64]

WORTH = 0.01
"""Smallest gain in Dice that is worth a slower model."""

AS_QUICK = 1.5
"""Ratio of times below which models count as equally fast, given the noise of a busy machine."""

GUESSING = 0.2
"""Smallest useful skill, on a scale from random places (0) to perfect (1): a convention, no test.
For kappa, which has the same scale, agreement below it is called slight (Landis and Koch,
Biometrics 33, 1977)."""

FEW = 200
"""Held-out pixels of a class below which no difference is reported: a rule of thumb, no test."""

_AT_ONCE = 0.05  # time of a pixel rung's fit, relative to a network's training
_TRAINING_SHARE = 0.9
_SECONDS_TIMED = 0.25
_MOST_PASSES = 5
_WARM_UP = (8, 64, 64)


@dataclass(frozen=True, eq=False)
class Row:
    """The result of one rung.

    Parameters
    ----------
    asked
        Name of the requested rung.
    model
        The trained and scored model; None where training failed. A network that scored worse than
        the rung it was distilled from is replaced by that rung: see `fell_back`.
    scores
        Mean over the foreground classes on the held-out pixels; None without a model.
    classes
        Dice by class name.
    chance
        Dice on average of as many pixels of each class in random places: computed from the numbers
        of pixels, and no test of significance.
    seconds
        Duration of the training.
    seconds_per_megapixel
        Duration of the prediction of a million pixels (voxels of a stack).
    message
        The message of the training, or the reason why there is no model.
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
        """Name of the model's rung; of the requested one without a model."""
        return self.asked if self.model is None else self.model.spec.kind

    @property
    def fell_back(self) -> bool:
        """Whether the model is the lower rung that a network was distilled from."""
        return self.kind != self.asked

    @property
    def label(self) -> str:
        """Name to show to the user."""
        return f"{self.kind} ({self.asked} fell back on it)" if self.fell_back else self.kind

    @property
    def dice(self) -> float:
        """Dice on the held-out pixels; 0 without a model."""
        return 0.0 if self.scores is None else self.scores.dice

    @property
    def skill(self) -> float:
        """Skill on a scale from random places, 0, to perfect, 1."""
        return (self.dice - self.chance) / max(1 - self.chance, 1e-9)

    def as_json(self) -> dict[str, Any]:
        """Return the row without its model, as data for JSON."""
        scores: dict[str, Any] = {}
        if self.scores is not None:
            scores = asdict(self.scores) | {
                "chance": self.chance,
                "classes": dict(self.classes),
                "seconds_per_megapixel": self.seconds_per_megapixel,
            }
        names = {"asked": self.asked, "model": None if self.model is None else self.kind}
        return names | scores | {"seconds": self.seconds, "message": self.message}


@dataclass(frozen=True, eq=False)
class Scoreboard:
    """The results of all rungs that were compared.

    Parameters
    ----------
    rows
        In the order of training.
    held_out
        Number of held-out pixels by class name.
    untried
        Names of the rungs that were not trained, since the user stopped early.
    held_out_strokes
        Number of held-out strokes of the class with the fewest; None where there are none.
    """

    rows: tuple[Row, ...]
    held_out: Mapping[str, int]
    untried: tuple[str, ...] = ()
    held_out_strokes: int | None = None

    @property
    def best(self) -> Row | None:
        """The row with the highest Dice; the earlier of equals. None without a model."""
        rows = self._candidates
        return max(rows, key=lambda row: row.dice) if rows else None

    @property
    def recommended(self) -> Row | None:
        """The best of the fastest rows among those with nearly the highest Dice.

        None when none has the skill `GUESSING`.
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
        """The row whose model to keep: the recommended one, or else the best."""
        return self.recommended or self.best

    @property
    def recommendation(self) -> str:
        """Recommendation of a model with its reason, in a few sentences."""
        best, chosen = self.best, self.recommended
        if best is None:
            return "No model was finished, so there is nothing to compare."
        if chosen is None:
            return (
                f"No model does much better than guessing: the best, {best.label}, has a Dice of "
                f"{best.dice:.3f}, and as many pixels in random places have {best.chance:.3f} on "
                "average. Check what the labels stand for, "
                f"or paint more of them.{self._untried}"
            )
        said = f"Use {chosen.label}"
        if not is_shown(self._least, self.held_out_strokes):
            return f"{said}.{self._caution}{self._untried}"
        said += f": Dice {chosen.dice:.3f} on held-out labels"
        if self._least < FEW:
            return f"{said}.{self._caution}{self._untried}"
        why = self._lead(best) if chosen is best else _bargain(chosen, best)
        of = len(self._candidates)
        choice = f" It is chosen from {of} by these labels, so a little optimistic." * (of > 1)
        return f"{said}{why}.{choice}{self._caution}{self._untried}"

    def as_json(self) -> dict[str, Any]:
        """Return the scoreboard without its models, as data for JSON."""
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
        """The rows with a model, without fallbacks of networks to a rung with its own row."""
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
        if not is_shown(None, self.held_out_strokes):
            said += (
                " Only one stroke of a class was held out, too few for a score or to rank models: "
                "look at the picture, and paint more."
            )
        elif self._least < FEW:
            said += (
                f" Only {self._least} pixels of a class were held out, too few to trust the score "
                "or to rank models: paint more."
            )
        return said

    @property
    def _least(self) -> int:
        """Smallest number of held-out pixels of a class."""
        return least_of(self.held_out.values())

    @property
    def _untried(self) -> str:
        return f" Not tried: {', '.join(self.untried)}." if self.untried else ""


def compare(
    specs: Sequence[ModelSpec],
    pairs: Sequence[TrainingPair],
    options: TrainOptions,
    *,
    labels_are: AnnotationKind = "scribbles",
    ndim: int = 2,
    scaling: NormalisationSpec = NormalisationSpec(),  # noqa: B008 - frozen
    class_names: Sequence[str] = (),
    on_row: Callable[[Row], None] | None = None,
    watch: Watch | None = None,
    progress: Progress = silent,
) -> Scoreboard:
    """Train several rungs on the same annotation and score them on the same held-out pixels.

    Parameters
    ----------
    specs
        The rungs, in the order to try them.
    pairs, labels_are, ndim, scaling, class_names
        As for `train`.
    options
        Options of each network's training. `validation` is the share that is held out as a test
        set, as whole strokes, tiles or images; no rung learns from it. Of the remaining pixels a
        network holds out the same share again, as its validation set.
    on_row
        Called with each finished row, in this thread.
    watch
        Called while a network learns.
    progress
        May cancel, which keeps nothing, or stop early: then the scoreboard has the finished rungs,
        and the unfinished one if it had trained at least one step.

    Returns
    -------
    Scoreboard
        A rung that cannot be trained has a row with the reason, and does not stop the others. The
        models are those that were scored, so they did not learn from the held-out pixels.

    Raises
    ------
    InputError
        When nothing can be learnt or held out, or no rung could be trained.

    Notes
    -----
    Libraries are loaded before the timing starts. Prediction is timed on the planes or stacks with
    held-out pixels, after a first piece that compiles; it includes the scaling of intensities and
    the overlap of tiles, but no reading from disk. A prediction of less than a quarter of a second
    is repeated, and the fastest pass counts.
    """
    check_torch()
    _check(specs, pairs, options)
    reading = Reading(labels_are, ndim, scaling, tuple(class_names))
    learnt, held = reading.divide(pairs, options)
    data = TrainingSet.of(learnt, options, reading)
    # The planes or stacks with held-out pixels.
    test_images = reading.images(held)
    annotation = test_images[0].annotation
    counts = np.sum([example.annotation.counts() for example in test_images], axis=0)
    listener = _StopListener(progress)
    shares = [1.0 if spec.learns_features else _AT_ONCE for spec in specs]
    ends = np.cumsum([0.0, *shares]) / sum(shares)
    rows: list[Row] = []
    _warm_up(test_images[0])
    for spec, start, end in zip(specs, ends[:-1], ends[1:], strict=True):
        here = _named(part(listener, float(start), float(end)), spec.kind)
        try:
            here(0.0, "beginning")
            row = _row(spec, data, test_images, options, Callbacks(here, watch))
        except StopEarly:
            break
        rows.append(row)
        if on_row is not None:
            on_row(row)
        if listener.stopped:
            break
    if rows and all(row.model is None for row in rows):
        raise InputError(f"No model could be trained. {rows[0].asked}: {rows[0].message}")
    untried = tuple(spec.kind for spec in specs[len(rows) :])
    held_out = dict(zip(annotation.names, map(int, counts), strict=True))
    strokes = fewest_strokes([example.annotation for example in test_images])
    return Scoreboard(tuple(rows), held_out, untried, strokes)


class _StopListener:
    """A `Progress` that records `StopEarly`, which a rung may catch itself."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self.stopped = progress, False

    def __call__(self, fraction: float, message: str = "", /) -> None:
        try:
            self._progress(fraction, message)
        except StopEarly:
            self.stopped = True
            raise


def _check(
    specs: Sequence[ModelSpec], pairs: Sequence[TrainingPair], options: TrainOptions
) -> None:
    if not specs:
        raise InputError("No model is chosen. Choose two or more to compare.")
    if not pairs:
        raise InputError("There is no image to learn from. Give at least one with its labels.")
    if options.validation <= 0:
        raise InputError(
            "Models are compared on what is held out, but the validation share is 0. Hold out a "
            "part, such as 0.2."
        )
    for pair in pairs:
        check_shape(pair.image, np.asarray(pair.labels))
    channels = sorted({pair.image.n_channels for pair in pairs})
    if len(channels) > 1:
        raise InputError(
            f"The images have different numbers of channels ({channels}). Compare on images of one "
            "kind."
        )


def _warm_up(example: AnnotatedImage) -> None:
    """Import and compile in advance, so that it does not count as time of the first rung."""
    importlib.import_module("napari_unetseg.core.nn.training.distil")
    importlib.import_module("napari_unetseg.core.nn.training.fit_pixels")
    ndim = example.image.ndim - 1
    filter_bank(np.zeros((1, *_WARM_UP[-ndim:]), np.float32), LogisticSpec())


def _row(
    spec: ModelSpec,
    data: TrainingSet,
    test_images: Sequence[AnnotatedImage],
    options: TrainOptions,
    callbacks: Callbacks,
) -> Row:
    """Train and score one rung.

    Raises
    ------
    StopEarly
        When the user stopped before the first step.
    """
    if not spec.learns_features:
        # A fit without steps to select needs no validation set of its own.
        data, options = data.without_validation(), options.model_copy(update={"validation": 0.0})
    start_time, steps = time.monotonic(), 0

    def count(record: TrainingStep) -> None:
        nonlocal steps
        steps += 1
        if callbacks.watch is not None:
            callbacks.watch(record)

    try:
        counting = replace(callbacks.part(0, _TRAINING_SHARE), watch=count)
        model = train_on_set(spec, data, options, name=spec.kind, callbacks=counting).model
        seconds = time.monotonic() - start_time
        if not steps and spec.learns_features:
            raise StopEarly
        last = callbacks.part(_TRAINING_SHARE, 1)
        return _judged(spec, model, test_images, seconds, options, last.progress)
    except (InputError, MemoryError) as error:
        said = str(error) or "The memory does not suffice."
        return Row(spec.kind, seconds=time.monotonic() - start_time, message=said)


def _judged(
    spec: ModelSpec,
    model: TrainedModel,
    test_images: Sequence[AnnotatedImage],
    seconds: float,
    options: TrainOptions,
    progress: Progress,
) -> Row:
    predicted, rate = _timed(
        open_segmenter(model, options.device), test_images, to_the_end(progress)
    )
    annotation = test_images[0].annotation
    confusion = _confusion(predicted, test_images)
    both, true, found = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    front = [k for k in annotation.foreground if true[k]]
    each = {k: Scores.of_areas(int(both[k]), int(found[k]), int(true[k])) for k in front}
    scores = mean_scores(each.values())
    # Expected Dice of two independent random sets of these sizes.
    guessed = 2 * found[front] * true[front] / confusion.sum() / (found[front] + true[front])
    kind = model.spec.kind
    amount = {"held_out_pixels": int(true.sum()), "held_out_least": least_of(true)}
    strokes = fewest_strokes([example.annotation for example in test_images])
    amount |= {} if strokes is None else {"held_out_strokes": strokes}
    return Row(
        spec.kind,
        replace(model, name=kind, scores={"dice": scores.dice, "iou": scores.iou} | amount),
        scores,
        {annotation.names[k]: score.dice for k, score in each.items()},
        float(guessed.mean()),
        seconds,
        1e6 * rate,
        "" if kind == spec.kind else f"The {spec.kind} scored lower than its guide, {kind}.",
    )


def _timed(
    segmenter: Segmenter, test_images: Sequence[AnnotatedImage], progress: Progress
) -> tuple[list[NDArray[np.uint8]], float]:
    """Predict the classes of each example, and measure the seconds per pixel."""
    _predicted(segmenter, [_corner(test_images[0])], silent)
    times: list[float] = []
    while not times or (sum(times) < _SECONDS_TIMED and len(times) < _MOST_PASSES):
        start_time = time.perf_counter()
        predicted = _predicted(segmenter, test_images, progress)
        times.append(time.perf_counter() - start_time)
    return predicted, min(times) / sum(classes.size for classes in predicted)


def _predicted(
    segmenter: Segmenter, test_images: Sequence[AnnotatedImage], progress: Progress
) -> list[NDArray[np.uint8]]:
    """Predict the class index of each pixel of each example: (*spatial) each."""
    predicted = []
    for number, example in enumerate(test_images):
        image = Image(example.image, example.axes)
        here = part(progress, number / len(test_images), (number + 1) / len(test_images))
        classes = predict_classes_image(image, segmenter, example.scale(), progress=here)
        predicted.append(classes.asarray())
    return predicted


def _corner(example: AnnotatedImage) -> AnnotatedImage:
    """Crop a small piece, whose prediction loads and compiles before the timing."""
    where = tuple(slice(side) for side in _WARM_UP[1 - example.image.ndim :])
    annotation = replace(example.annotation, targets=example.annotation.targets[where])
    return replace(example, image=example.image[(slice(None), *where)], annotation=annotation)


def _confusion(
    predicted: Sequence[NDArray[np.uint8]], test_images: Sequence[AnnotatedImage]
) -> Confusion:
    """Compute the confusion matrix of held-out pixels, true classes as rows: (K, K)."""
    n = test_images[0].annotation.n_classes
    confusion = np.zeros((n, n), np.int64)
    for classes, example in zip(predicted, test_images, strict=True):
        known = example.annotation.counted
        pairs = example.annotation.targets[known].astype(np.int64) * n + classes[known]
        confusion += np.bincount(pairs, minlength=n * n).reshape(n, n)
    return confusion


def _bargain(chosen: Row, best: Row) -> str:
    """Describe the trade of Dice for speed by a faster model."""
    faster = best.seconds_per_megapixel / max(chosen.seconds_per_megapixel, 1e-9)
    speed = f"{faster:.0f} times" if faster >= 3 else f"{faster:.1f} times"
    return f", as good as {best.label} ({best.dice:.3f}) and {speed} as fast"


def _named(progress: Progress, name: str) -> Progress:
    """Prefix the messages of a training with the rung's name."""

    def inner(fraction: float, message: str = "", /) -> None:
        progress(fraction, f"{name}: {message}" if message else name)

    return inner


__all__ = ["AS_QUICK", "FEW", "GUESSING", "WORTH", "Row", "Scoreboard", "compare"]
