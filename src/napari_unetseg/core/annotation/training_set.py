"""The training set: annotated images, divided into a training and a validation part.

The split is made here, once. Fits, distillation, the validation of objects and the scoreboard all
get the same set, so that no held-out pixel can leak into a training.
"""

from collections.abc import Iterable, Sequence
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
        Meaning of the labels; see `AnnotationKind`.
    ndim
        2 to learn planes, 3 to learn stacks.
    scaling
        How each image's intensities are normalised, by statistics of the whole image.
    class_names
        Names of the classes other than the background.
    values
        Classes of the model, whether they are painted or not.
    """

    labels_are: AnnotationKind = "scribbles"
    ndim: int = 2
    scaling: NormalisationSpec = NormalisationSpec()  # noqa: RUF009 - frozen
    class_names: tuple[str, ...] = ()
    values: tuple[int, ...] = ()

    def images(self, pairs: Sequence[TrainingPair]) -> list[AnnotatedImage]:
        """Read the annotated planes or stacks of all pairs, with the same classes.

        See Also
        --------
        napari_unetseg.core.annotation.annotation.examples_of : Read those of one pair.
        """
        values = self.values_of(pairs)
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
        """Split pairs into a training set and a test set to compare models on.

        The split precedes the division into planes: a stroke that continues in the next plane or
        time point is one stroke.

        Raises
        ------
        InputError
            When fewer than two classes are annotated, or fewer than two can be held out.
        """
        values = self.values_of(pairs)
        annotations = [self._annotation(pair, values) for pair in pairs]
        check_trainable(annotations)
        halves = split(annotations, options.validation, seed=options.seed)
        tested = np.sum([annotation.counts() for annotation in halves[1]], axis=0) > 0
        if np.count_nonzero(tested) < 2:
            _refuse(annotations[0], tested)
        learn, held_out = (
            [replace(pair, counted=a.counted) for pair, a in zip(pairs, half, strict=True)]
            for half in halves
        )
        return learn, held_out

    def values_of(self, pairs: Sequence[TrainingPair]) -> tuple[int, ...]:
        """Return the classes of all pairs together, painted ones and those of the model."""
        painted = values_of([pair.labels for pair in pairs], self.labels_are)
        return tuple(sorted({*painted, *self.values}))

    def _annotation(self, pair: TrainingPair, values: tuple[int, ...]) -> Annotation:
        """Read the annotation of a whole image, of any axes."""
        region = None if pair.region is None else np.asarray(pair.region) != 0
        annotation = Annotation.of(
            pair.labels, self.labels_are, values=values, names=self.class_names, region=region
        )
        # Ignored pixels are in neither part.
        return annotation if pair.counted is None else annotation.only(pair.counted)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Annotated images, each divided into a training and a held-out part.

    Parameters
    ----------
    images
        Images with all annotations and their normalisation; intensities are scaled when read.
    learn, held_out
        The same images with the annotations to train on, and with the held-out ones. No pixel is
        in both.
    scaling
        Kind of normalisation.
    pairs
        The training pairs they were read from; empty for `of_images`.

    See Also
    --------
    TrainingSet.of : Make a set from training pairs.
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
        """Read training pairs, and hold out a validation set.

        Parameters
        ----------
        pairs
            Images of the same channels, with their labels.
        options
            Source of the share to hold out, and of the seed.
        reading
            How the pairs are read.

        Raises
        ------
        InputError
            When nothing or one class alone is annotated, or the images or labels do not match.
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
        """Hold out a validation set of annotated planes or stacks.

        Parameters
        ----------
        images
            (C, *spatial) of one number of channels and axes.
        options
            Source of the share to hold out, and of the seed.
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
        scaled = tuple(image.normalised(scaling) for image in images)
        learn, held_out = split(annotations, options.validation, seed=options.seed)
        return cls(scaled, _with(scaled, learn), _with(scaled, held_out), scaling)

    @property
    def annotations(self) -> list[Annotation]:
        """Whole annotation of each image."""
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
    def held_out_counts(self) -> NDArray[np.int64]:
        """Number of held-out pixels of each class: (classes,)."""
        counts: NDArray[np.int64] = np.sum([i.annotation.counts() for i in self.held_out], axis=0)
        return counts

    @property
    def held_out_least(self) -> int:
        """Smallest number of held-out pixels of a class that has any; 0 if nothing is held out."""
        return least_of(self.held_out_counts)

    @property
    def held_out_strokes(self) -> int | None:
        """Smallest number of held-out strokes of a class that has any; None without strokes."""
        return fewest_strokes([image.annotation for image in self.held_out])

    @property
    def held_out_places(self) -> str:
        """Number of strokes, tiles or images that are held out, such as ``"3 strokes"``."""
        parts = [image.annotation for image in self.held_out if image.annotation.counted.any()]
        if not parts or not parts[0].dense:
            kind, n = "stroke", sum(part.strokes()[1] for part in parts)
        elif all(part.counted.sum() == a.certain().counted.sum() for part, a in self._halves):
            kind, n = "image", len(parts)
        else:
            kind, n = "tile", sum(part.tiles()[1] for part in parts)
        return f"{n} {kind}" if n == 1 else f"{n} {kind}s"

    @property
    def _halves(self) -> list[tuple[Annotation, Annotation]]:
        """Held-out part and whole annotation of each image with a held-out part."""
        pairs = zip(self.held_out, self.images, strict=True)
        halves = [(held.annotation, whole.annotation) for held, whole in pairs]
        return [(held, whole) for held, whole in halves if held.counted.any()]

    @property
    def validation(self) -> Images:
        """Images to validate on: the held-out ones, or all where nothing could be held out."""
        return self.held_out if self.holds_out else self.images

    def without_validation(self) -> Self:
        """Return the set with all annotations in the training part."""
        nothing = [a.only(np.zeros(a.shape, np.bool_)) for a in self.annotations]
        return replace(self, learn=self.images, held_out=_with(self.images, nothing))

    def shrunk(self, shrink: tuple[int, ...]) -> tuple[Images, Images]:
        """Return the training and the held-out images, shrunk along each axis.

        The split was made at full resolution, where neighbouring strokes are still separate.
        """
        images = [shrunken_image(image.image, shrink) for image in self.images]
        learn, held_out = (
            tuple(
                replace(
                    whole, image=image, annotation=shrunken_annotation(whole.annotation, shrink)
                )
                for whole, image in zip(part, images, strict=True)
            )
            for part in (self.learn, self.held_out)
        )
        return learn, held_out


def fewest_strokes(annotations: Sequence[Annotation]) -> int | None:
    """Return the smallest number of strokes of a class that has any; None without strokes."""
    parts = [part for part in annotations if part.counted.any()]
    if not parts or parts[0].dense:
        return None
    classes = range(parts[0].n_classes)
    return least_of(
        sum(part.only(part.targets == k).strokes()[1] for part in parts) for k in classes
    )


def least_of(counts: Iterable[int]) -> int:
    """Return the smallest number above 0; 0 if there is none."""
    return min((int(count) for count in counts if count), default=0)


def _with(images: Images, annotations: Sequence[Annotation]) -> Images:
    pairs = zip(images, annotations, strict=True)
    return tuple(replace(image, annotation=annotation) for image, annotation in pairs)


def _check_alike(images: Sequence[AnnotatedImage]) -> None:
    channels = {len(image.image) for image in images}
    if len(channels) > 1:
        raise InputError(
            f"The images have different numbers of channels ({sorted(channels)}). Train on images "
            "of one kind."
        )
    if len({image.image.ndim for image in images}) > 1:
        raise InputError("Some images are planes and some are stacks. Train on one kind.")


def _refuse(annotation: Annotation, tested: NDArray[Any]) -> None:
    missing = [name for name, has in zip(annotation.names, tested, strict=True) if not has]
    advice = "Annotate a larger area" if annotation.dense else "Paint a second stroke of each"
    raise InputError(
        "Models are compared on strokes or tiles that are held out, and at least two classes must "
        f"have some to spare; {', '.join(missing)} cannot spare any. {advice}, then compare again."
    )


__all__ = ["Reading", "TrainingSet", "fewest_strokes", "least_of"]
