"""The training set: annotated images, and which part of them is held out to judge by.

The split is made here, once, and nowhere else. A fit, distillation, the validation of objects and
the scoreboard are given the set, so that none of them can learn from what another one judges by.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import (
    AnnotatedImage,
    Annotation,
    TrainingPair,
    check_trainable,
    examples_of,
    values_of,
)
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.annotation.holdout import split
from napari_unetseg.core.annotation.shrinking import shrunken_annotation, shrunken_image
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.normalisation import NormalisationSpec

Images = tuple[AnnotatedImage, ...]


@dataclass(frozen=True)
class Reading:
    """How training pairs are read.

    Parameters
    ----------
    labels_are
        What the labels mean; see `AnnotationKind`.
    ndim
        2 to learn planes, 3 to learn stacks.
    scaling
        How each image's intensities are normalised, by statistics of the whole image.
    class_names
        Of the classes other than the background.
    values
        Classes that are to be known, whether they are painted or not.
    """

    labels_are: AnnotationKind = "scribbles"
    ndim: int = 2
    scaling: NormalisationSpec = NormalisationSpec()  # noqa: RUF009 - frozen
    class_names: tuple[str, ...] = ()
    values: tuple[int, ...] = ()

    def images(self, pairs: Sequence[TrainingPair]) -> list[AnnotatedImage]:
        """Return the annotated planes or stacks of all pairs, of the same classes.

        See Also
        --------
        napari_unetseg.core.annotation.annotation.examples_of : those of one pair.
        """
        values = self._values(pairs)
        return [
            image
            for pair in pairs
            for image in examples_of(
                pair,
                self.labels_are,
                ndim=self.ndim,
                values=values,
                names=self.class_names,
                scaling=self.scaling,
            )
        ]

    def divide(
        self, pairs: Sequence[TrainingPair], options: TrainOptions
    ) -> tuple[list[TrainingPair], list[TrainingPair]]:
        """Divide pairs into what is learnt and what several models are compared on.

        Before the planes of a stack are taken apart: a stroke that goes on in the next plane or
        the next moment is one stroke.

        Raises
        ------
        InputError
            When there is nothing to tell apart, or fewer than two classes can spare anything.
        """
        values = self._values(pairs)
        annotations = [self._annotation(pair, values) for pair in pairs]
        check_trainable(annotations)
        halves = split(annotations, options.validation, seed=options.seed)
        judged = np.sum([annotation.counts() for annotation in halves[1]], axis=0) > 0
        if np.count_nonzero(judged) < 2:
            _refuse(annotations[0], judged)
        learn, held_out = (
            [replace(pair, counted=a.counted) for pair, a in zip(pairs, half, strict=True)]
            for half in halves
        )
        return learn, held_out

    def _values(self, pairs: Sequence[TrainingPair]) -> tuple[int, ...]:
        painted = values_of([pair.labels for pair in pairs], self.labels_are)
        return tuple(sorted({*painted, *self.values}))

    def _annotation(self, pair: TrainingPair, values: tuple[int, ...]) -> Annotation:
        """Return the annotation of a whole image, of whatever axes."""
        region = None if pair.region is None else np.asarray(pair.region) != 0
        annotation = Annotation.of(
            pair.labels, self.labels_are, values=values, names=self.class_names, region=region
        )
        # What does not count is neither learnt nor judged by.
        return annotation if pair.counted is None else annotation.only(pair.counted)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Annotated images, each divided into what is learnt and what is held out.

    Parameters
    ----------
    images
        All that is annotated, each with its normalisation; intensities are scaled where they are
        read.
    learn, held_out
        The same images with what is learnt of each, and with what is judged by. No pixel is in
        both.
    scaling
        How they were normalised.
    pairs
        What they were read from, if they were.

    See Also
    --------
    TrainingSet.of : the way in from training pairs.
    """

    images: Images
    learn: Images
    held_out: Images
    scaling: NormalisationSpec = NormalisationSpec()  # noqa: RUF009 - frozen
    pairs: tuple[TrainingPair, ...] = ()

    @classmethod
    def of(
        cls,
        pairs: Sequence[TrainingPair],
        options: TrainOptions,
        reading: Reading = Reading(),
    ) -> Self:
        """Read training pairs, and hold out what the options say.

        Parameters
        ----------
        pairs
            Images of the same channels, with their labels.
        options
            Their share and seed say what is held out.
        reading
            How the pairs are read.

        Raises
        ------
        InputError
            When nothing or one class alone is annotated, or what is given does not go together.
        """
        images = reading.images(pairs)
        if not images:
            raise InputError(
                "Nothing is annotated yet. Paint a few strokes of each class (1, 2, ...) on the "
                "image, then train again."
            )
        return replace(cls.of_images(images, options, reading.scaling), pairs=tuple(pairs))

    @classmethod
    def of_images(
        cls,
        images: Sequence[AnnotatedImage],
        options: TrainOptions,
        scaling: NormalisationSpec = NormalisationSpec(),  # noqa: B008 - frozen
    ) -> Self:
        """Hold out of annotated planes or stacks what the options say.

        Parameters
        ----------
        images
            (C, *spatial) of one number of channels and axes.
        options
            Their share and seed say what is held out.
        scaling
            How images without a normalisation are normalised.

        Raises
        ------
        InputError
            When nothing or one class alone is annotated, or the images differ in channels or axes.
        """
        annotations = [image.annotation for image in images]
        check_trainable(annotations, apart=options.decoder is not None)
        _check_alike(images)
        known = tuple(image.normalised(scaling) for image in images)
        learn, held_out = split(annotations, options.validation, seed=options.seed)
        return cls(known, _with(known, learn), _with(known, held_out), scaling)

    @property
    def annotations(self) -> list[Annotation]:
        """Annotation of each image, all of it."""
        return [image.annotation for image in self.images]

    @property
    def ndim(self) -> int:
        """2 for planes, 3 for stacks."""
        return self.images[0].image.ndim - 1

    @property
    def n_channels(self) -> int:
        """Channels of the images."""
        return len(self.images[0].image)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Physical pixel size along each spatial axis of the first pair."""
        return self.pairs[0].image.spacing[-self.ndim :] if self.pairs else self.images[0].spacing

    @property
    def holds_out(self) -> bool:
        """Whether anything is held out."""
        return any(image.annotation.counted.any() for image in self.held_out)

    @property
    def exam(self) -> Images:
        """Images to judge by: those held out, or all where nothing could be."""
        return self.held_out if self.holds_out else self.images

    def without_validation(self) -> Self:
        """Return the set with all of it to be learnt."""
        nothing = [a.only(np.zeros(a.shape, np.bool_)) for a in self.annotations]
        return replace(self, learn=self.images, held_out=_with(self.images, nothing))

    def shrunk(self, shrink: tuple[int, ...]) -> tuple[Images, Images]:
        """Return the images with what is learnt and with what is held out, shrunk along each axis.

        It was divided at full resolution, where strokes that lie close are still two.
        """
        images = [shrunken_image(image.image, shrink) for image in self.images]
        learn, held_out = (
            tuple(
                replace(one, image=image, annotation=shrunken_annotation(one.annotation, shrink))
                for one, image in zip(some, images, strict=True)
            )
            for some in (self.learn, self.held_out)
        )
        return learn, held_out


def _with(images: Images, annotations: Sequence[Annotation]) -> Images:
    return tuple(replace(i, annotation=a) for i, a in zip(images, annotations, strict=True))


def _check_alike(images: Sequence[AnnotatedImage]) -> None:
    channels = {len(one.image) for one in images}
    if len(channels) > 1:
        raise InputError(
            f"The images have different numbers of channels ({sorted(channels)}). Train on images "
            "of one kind."
        )
    if len({one.image.ndim for one in images}) > 1:
        raise InputError("Some images are planes and some are stacks. Train on one kind.")


def _refuse(annotation: Annotation, judged: NDArray[Any]) -> None:
    missing = [name for name, one in zip(annotation.names, judged, strict=True) if not one]
    what = "Annotate a larger area" if annotation.dense else "Paint a second stroke of each"
    raise InputError(
        "Models are compared on strokes or tiles that are held out, and at least two classes must "
        f"have some to spare; {', '.join(missing)} cannot spare any. {what}, then compare again."
    )


__all__ = ["Reading", "TrainingSet"]
