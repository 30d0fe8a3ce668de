"""Distillation of a lower rung into a network, which is kept only if it scores no worse.

A network with many weights overfits a few strokes and varies widely from run to run. A logistic
model over the filter bank learns more from them. So the network also learns that model's
probabilities where nothing is annotated, weighted by their Dice on the validation set and fading a
little in the course of training. The result is the lower rung's prediction, smoothed by the
network's own prior for images. Soft probabilities are learnt rather than confident pixels as hard
labels, so that no place between the strokes is left unconstrained: there an unconstrained network
found far too much foreground while it was right on every stroke.

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
from napari_unetseg.core.model.validation_score import is_shown
from napari_unetseg.core.nn.training.fit_network import FittedNetwork, WarmStart, fit_network
from napari_unetseg.core.nn.training.patches import Judgement, Tally
from napari_unetseg.core.nn.training.prepare import Guess
from napari_unetseg.core.nn.training.schedule import Spent
from napari_unetseg.core.progress import Progress, part, silent, to_the_end

LowerRung = Callable[[Sequence[AnnotatedImage]], Segmenter]
"""Fits the lower rung to examples; the segmenter has the classes in the annotation's order."""

_LOWER_SHARE = 0.05


@dataclass(frozen=True, eq=False)
class Distilled:
    """The result of a distillation.

    Parameters
    ----------
    segmenter
        The better of both on the validation set: the network unless the lower rung beat it.
    fitted
        The network, whether kept or not.
    kept
        Which of both `segmenter` is.
    upper, lower
        Scores of both on the validation set; without one, on the strokes they learnt from.
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
    """Train a network on strokes and on a lower rung's predictions.

    Parameters
    ----------
    spec, data, options, start, callbacks
        As for `fit_network`.
    lower
        Fits the lower rung, to the same strokes as the network: those not held out.

    Returns
    -------
    Distilled
        Never worse on the validation set than the lower rung alone. Where the lower rung was
        better, it is returned, fitted to all strokes.

    Raises
    ------
    InputError
        As `fit_network`.
    """
    callbacks.progress(0.0, "fitting the simpler model")
    spent = Spent()
    teacher, first_part = lower(data.learn), callbacks.part(0, _LOWER_SHARE)
    below, guess = score_images(teacher, data.validation, progress=first_part.progress)
    fitted = fit_network(
        spec,
        data,
        spent.left(options),
        start=start,
        guess=Guess(guess, below.dice),
        callbacks=callbacks.part(_LOWER_SHARE, 1),
    )
    above, _ = score_images(fitted.segmenter(), data.validation)
    shown = data.holds_out and is_shown(data.held_out_least, data.held_out_strokes)
    return _outcome(fitted, above, below, lambda: lower(data.images), shown=shown)


def score_images(
    segmenter: Segmenter, validation: Sequence[AnnotatedImage], *, progress: Progress = silent
) -> tuple[Judgement, list[NDArray[np.float16]]]:
    """Score a segmenter on whole images.

    Parameters
    ----------
    validation
        Annotated images to score by.
    progress
        May cancel. `StopEarly` is ignored, since half a prediction cannot be scored.

    Returns
    -------
    judgement
        Scores over all annotated pixels.
    probabilities
        Of each image (classes, *spatial), float16.
    """
    tally = Tally(validation[0].annotation.n_classes, validation[0].annotation.foreground)
    probabilities = []
    for done, source in enumerate(validation):
        image = Image(source.image, source.axes)
        here = to_the_end(part(progress, done / len(validation), (done + 1) / len(validation)))
        whole = predict_proba_image(image, segmenter, source.scale(), progress=here)
        proba = whole.asarray()
        tally.add(proba[None], source.annotation.targets[None])
        probabilities.append(proba.astype(np.float16))
    return tally.judgement(), probabilities


def _outcome(
    fitted: FittedNetwork,
    above: Judgement,
    below: Judgement,
    refit: Callable[[], Segmenter],
    *,
    shown: bool,
) -> Distilled:
    if round(above.dice, 3) >= round(below.dice, 3):
        message = "The network is kept: it scored no lower than the simpler model."
        return Distilled(fitted.segmenter(), fitted, "network", above, below, message)
    difference = f" by {below.dice - above.dice:.3f} in Dice" if shown else ""
    message = (
        f"The simpler model was kept because the network scored lower{difference}. Paint more "
        "strokes, or train longer."
    )
    return Distilled(refit(), fitted, "lower rung", above, below, message)
