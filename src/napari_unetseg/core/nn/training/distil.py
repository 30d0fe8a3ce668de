"""Climbing: a network learns what a lower rung says, and is kept only if it does no worse.

A few strokes say little to a network with many weights, and it swings. A logistic rung over the
filter bank learns more from them at once. So the probabilities it gives stand in where nothing is
annotated, weighted by how good they are on the strokes that were held out, and fading a little as
the strokes' own signal takes over; what the network has then is the lower rung's answer, smoothed
by everything a network assumes of images. Learning them as sure as they are, rather than the
confident ones as truth, leaves nothing for the network to make up between the strokes: there it
found far too much, and was right on every stroke.

References
----------
Hinton, Vinyals, Dean: Distilling the knowledge in a neural network, 2015; the fading is that of
Lee: Pseudo-label, ICML workshop 2013.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import AnnotatedImage
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import TrainingSet
from napari_unetseg.core.annotation.training_step import Callbacks
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import predict_proba_image
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.nn.training.fit_network import FittedNetwork, WarmStart, fit_network
from napari_unetseg.core.nn.training.patches import Judgement, Tally
from napari_unetseg.core.nn.training.prepare import Guess
from napari_unetseg.core.nn.training.schedule import Spent
from napari_unetseg.core.progress import Progress, part, silent, to_the_end

LowerRung = Callable[[Sequence[AnnotatedImage]], Segmenter]
"""Fits the lower rung to examples; what it returns has the classes in the annotation's order."""

_LOWER_SHARE = 0.05


@dataclass(frozen=True, eq=False)
class Distilled:
    """What came of a climb.

    Parameters
    ----------
    segmenter
        The better of both on what was held out: the network unless the lower rung beat it.
    fitted
        The network, whether kept or not.
    kept
        Which of both `segmenter` is.
    upper, lower
        How good both are on the same held-out strokes; where nothing could be held out, on the
        strokes they learnt from.
    message
        A sentence about the outcome.
    """

    segmenter: Segmenter
    fitted: FittedNetwork
    kept: Literal["network", "lower rung"]
    upper: Judgement
    lower: Judgement
    message: str


def distil(
    spec: ModelSpec,
    data: TrainingSet,
    options: TrainOptions,
    lower: LowerRung,
    *,
    start: WarmStart | None = None,
    callbacks: Callbacks = Callbacks(),  # noqa: B008 - frozen
) -> Distilled:
    """Train a network with a lower rung's predictions beside the strokes.

    Parameters
    ----------
    spec, data, options, start, callbacks
        As for `fit_network`.
    lower
        How the lower rung is fitted. It sees the same strokes as the network: those not held out.

    Returns
    -------
    Climbed
        Never worse on the held-out strokes than the lower rung alone, which is returned, fitted
        to all strokes, where it was better.

    Raises
    ------
    InputError
        As `fit_network`.
    """
    callbacks.progress(0.0, "fitting the lower rung")
    spent = Spent()
    teacher, told = lower(data.learn), callbacks.part(0, _LOWER_SHARE)
    below, guess = judge_whole(teacher, data.exam, progress=told.progress)
    fitted = fit_network(
        spec,
        data,
        spent.left(options),
        start=start,
        guess=Guess(guess, below.dice),
        callbacks=callbacks.part(_LOWER_SHARE, 1),
    )
    above, _ = judge_whole(fitted.segmenter(), data.exam)
    return _outcome(fitted, above, below, lambda: lower(data.images))


def judge_whole(
    segmenter: Segmenter, exam: Sequence[AnnotatedImage], *, progress: Progress = silent
) -> tuple[Judgement, list[NDArray[np.float16]]]:
    """Judge a segmenter on whole images.

    Parameters
    ----------
    exam
        Images with what to judge by.
    progress
        May cancel. To stop early does not end it, for half a prediction judges nothing.

    Returns
    -------
    judgement
        On all that is annotated.
    probabilities
        Of each image (classes, *spatial), float16.
    """
    tally = Tally(exam[0].annotation.n_classes, exam[0].annotation.foreground)
    probabilities = []
    for done, source in enumerate(exam):
        image = Image(source.image, source.axes)
        here = to_the_end(part(progress, done / len(exam), (done + 1) / len(exam)))
        whole = predict_proba_image(image, segmenter, source.scale(), progress=here)
        proba = whole.asarray()
        tally.add(proba[None], source.annotation.targets[None])
        probabilities.append(proba.astype(np.float16))
    return tally.judgement(), probabilities


def _outcome(
    fitted: FittedNetwork, above: Judgement, below: Judgement, refit: Callable[[], Segmenter]
) -> Distilled:
    scores = f"Dice {above.dice:.3f} against {below.dice:.3f} on held-out labels"
    if round(above.dice, 3) >= round(below.dice, 3):
        message = f"The network is kept: {scores}."
        return Distilled(fitted.segmenter(), fitted, "network", above, below, message)
    message = (
        f"The simpler model was kept because the network scored lower: {scores}. Paint more "
        "strokes, or train longer."
    )
    return Distilled(refit(), fitted, "lower rung", above, below, message)
