"""Annotations: labels of an image, for training and for validation.

In scribbles 0 means "not labelled"; in a mask it is the background. `Annotation.of` resolves that
difference: every pixel either counts, with the index of its class, or is ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.label_image import (
    LARGEST_CLASS,
    hard_mask,
    label_image,
    whole_numbers,
)
from napari_unetseg.core.normalisation import Normalisation, NormalisationSpec, fit_normalisation
from napari_unetseg.core.objects.masks import label

IGNORED = 255
"""Target of pixels that are ignored."""

MAX_CLASSES = 64
"""Largest number of values in a mask; more are taken for object ids."""

_TILES_A_SIDE = 5


@dataclass(frozen=True, eq=False)
class Annotation:
    """The class of each annotated pixel of a plane or a stack.

    Parameters
    ----------
    targets
        (*spatial), uint8: index into `values`, or `IGNORED` where nothing is annotated.
    values
        Value in a label layer of each class: 1.. for scribbles, 0 (background), 1.. for a mask.
    names
        A name for each class.
    kind
        Kind of the labels it was made from.
    objects
        (*spatial), int32: object id of each pixel, 0 for none, if it was made from ids. Whole
        objects, ignored pixels included.
    weights
        (*spatial), floats of at least 0: weight of each pixel that counts; 1 when missing. Pixels
        below 1 are used for training, but not for validation.

    See Also
    --------
    Annotation.of : Make an annotation from a label array.
    """

    targets: NDArray[np.uint8]
    values: tuple[int, ...]
    names: tuple[str, ...]
    kind: AnnotationKind = "scribbles"
    objects: NDArray[np.int32] | None = None
    weights: NDArray[np.floating[Any]] | None = None

    @classmethod
    def of(
        cls,
        labels: Any,
        kind: AnnotationKind = "scribbles",
        *,
        values: Sequence[int] = (),
        names: Sequence[str] = (),
        region: NDArray[np.bool_] | None = None,
        image_shape: Sequence[int] | None = None,
    ) -> Self:
        """Read a label array.

        Parameters
        ----------
        labels
            (*spatial), whole numbers or booleans; those below 0 are ignored pixels. A mask of 0
            and 255 is read as 0 and 1, one with soft edges at half (`hard_mask`).
        kind
            ``"scribbles"``: 0 is not labelled. ``"mask"``: 0 is background. ``"objects"``: 0 is
            background, everything else one class.
        values
            The classes, when other annotations have more; by default those of these labels.
        names
            Names of the classes other than the background, in the order of their values.
        region
            (*spatial): where the user has finished or painted background, so that 0 means
            background; elsewhere 0 is ignored. Everywhere when not given. Not used for scribbles.
        image_shape
            Spatial shape of the image, checked when given.

        Raises
        ------
        InputError
            When the labels are not whole numbers, have another shape than the image, or look like
            object ids.
        """
        array = _whole_numbers(labels, kind)
        shapes = [("image", image_shape), ("region", None if region is None else region.shape)]
        for other, shape in shapes:
            if shape is not None and tuple(shape) != array.shape:
                raise InputError(
                    f"The labels have the shape {array.shape} and the {other} {tuple(shape)}: "
                    "choose labels that were painted on this image."
                )
        found = tuple(values) or values_of([array], kind)
        ids = _ids(array) if kind == "objects" else None
        targets = _indices(array if ids is None else np.minimum(ids, 1), found)
        if region is not None and kind != "scribbles":
            targets[(array == 0) & ~region] = IGNORED
        below = _below_zero(labels)
        if below is not None:
            targets[below] = IGNORED
        return cls(targets, found, _names(found, kind, names), kind, ids)

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape."""
        return tuple(self.targets.shape)

    @property
    def n_classes(self) -> int:
        """Number of classes, the background of a mask included."""
        return len(self.values)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Mask of the pixels that count."""
        known: NDArray[np.bool_] = self.targets != IGNORED
        return known

    @property
    def dense(self) -> bool:
        """Whether it is a mask or objects: every pixel counts, or every one of a region."""
        return self.kind != "scribbles"

    @property
    def foreground(self) -> tuple[int, ...]:
        """Indices of the classes that scores are averaged over: all but a mask's background."""
        return tuple(k for k, value in enumerate(self.values) if value or not self.dense)

    @property
    def n_objects(self) -> int:
        """Number of objects with a pixel that counts; 0 when it was not made from ids."""
        if self.objects is None:
            return 0
        return int(np.count_nonzero(np.unique(self.objects[self.counted])))

    def object_ids(self) -> NDArray[np.int32]:
        """Return the object id of each pixel; of a mask, its connected components are objects."""
        if self.objects is not None:
            return self.objects
        return label(self.counted & (self.targets > 0))[0]

    def counts(self) -> NDArray[np.int64]:
        """Count the pixels of each class: (classes,)."""
        return np.bincount(self.targets.ravel(), minlength=256)[: self.n_classes].astype(np.int64)

    def masses(self) -> NDArray[np.float64]:
        """Sum the weights of the pixels of each class: (classes,)."""
        if self.weights is None:
            return self.counts().astype(np.float64)
        each = self.weights.ravel().astype(np.float64)
        masses: NDArray[Any] = np.bincount(self.targets.ravel(), each, minlength=256)
        return masses[: self.n_classes].astype(np.float64)

    def certain(self) -> "Annotation":
        """Return the annotation restricted to pixels of at least the weight 1."""
        return self if self.weights is None else self.only(self.weights >= 1)

    def only(self, where: NDArray[np.bool_]) -> "Annotation":
        """Return the annotation restricted to the pixels `where`."""
        return replace(self, targets=np.where(where, self.targets, np.uint8(IGNORED)))

    def strokes(self) -> tuple[NDArray[np.int32], int]:
        """Label strokes: return the stroke id of each pixel, and the number of strokes.

        A stroke is a connected component of one class, diagonal neighbours included; ids start at
        1, and ignored pixels are 0.
        """
        strokes, n = np.zeros(self.shape, np.int32), 0
        around = np.ones((3,) * self.targets.ndim)
        for k in range(self.n_classes):
            pieces, found = scipy.ndimage.label(self.targets == k, around)
            strokes += np.where(pieces, pieces + n, 0).astype(np.int32)
            n += found
        return strokes, n

    def tiles(self) -> tuple[NDArray[np.int32], int]:
        """Label tiles: return the tile id of each pixel that counts, and the number of tiles.

        Rows and columns are divided in five; planes of a stack stay together.
        """
        ids = np.ones(self.shape, np.int32)
        for axis in range(len(self.shape))[-2:]:
            size = self.shape[axis]
            part = np.arange(size) * _TILES_A_SIDE // size
            ids = ids * _TILES_A_SIDE + part.reshape(
                [-1 if a == axis else 1 for a in range(ids.ndim)]
            )
        ids = np.where(self.counted, ids, 0)
        present = np.bincount(ids.ravel(), minlength=1) > 0
        present[0] = False
        numbers = np.cumsum(present, dtype=np.int32)
        return numbers[ids], int(numbers[-1])


@dataclass(frozen=True)
class TrainingPair:
    """An image and its labels.

    Parameters
    ----------
    image
        Any image.
    labels
        Labels of the image's shape without its channels; see `AnnotationKind` for their meaning.
    region
        Array of the labels' shape: nonzero where the user has finished or painted background, if
        that is not everywhere. Elsewhere 0 is ignored. See `Annotation.of`.
    counted
        Booleans of the labels' shape: False for ignored pixels; all count when not given.
    weights
        Weights of the labels' shape; 0 for ignored pixels. See `Annotation`.
    times
        Relative frequency in training. See `AnnotatedImage`.
    """

    image: Image
    labels: Any
    region: Any = None
    counted: Any = None
    weights: Any = None
    times: float = 1.0

    def notes(
        self, kind: AnnotationKind, image: str = "The image", labels: str = "The label array"
    ) -> list[str]:
        """List sentences about pixels that are left out, and about a mask taken at half.

        Parameters
        ----------
        kind
            Meaning of the labels.
        image, labels
            Names of the two, for the sentences.
        """
        said: list[str] = []
        given = np.asarray(self.labels)
        if given.ndim > 1 and given.dtype.kind in "iuf":
            axes = self.image.axes.replace("C", "")
            read = label_image(Image(given, axes), labels, note=said.append)
            if kind == "mask":
                hard_mask(read.asarray(), labels, said.append)
        finite = None if self.image.dtype.kind != "f" else np.isfinite(self.image.data)
        missing = 0 if finite is None else int((~finite).sum())
        if missing:
            said.append(
                f"{image} has {missing} pixels that are NaN or infinite: nothing is learnt there."
            )
        return said


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """A plane or stack with its annotation, for training or validation.

    Parameters
    ----------
    image
        (C, *spatial), raw intensities.
    annotation
        (*spatial).
    normalisation
        Scaling of the whole image this is a part of; computed from `image` when missing.
    spacing
        Physical size of a pixel along each spatial axis; isotropic when missing.
    times
        Relative frequency in training, besides the weights of its pixels: as if every pixel were
        there so many times.
    guess
        (classes, *spatial): probabilities to learn where nothing is annotated.
    maps
        (maps, *spatial): target maps of an object decoder.

    Raises
    ------
    InputError
        When the shapes differ or the number at an annotated pixel is not finite.
    """

    image: NDArray[Any]
    annotation: Annotation
    normalisation: Normalisation | None = None
    spacing: tuple[float, ...] = ()
    times: float = 1.0
    guess: NDArray[np.float16] | None = None
    maps: NDArray[np.float16] | None = None

    def __post_init__(self) -> None:
        spatial = tuple(self.image.shape[1:])
        if spatial != self.annotation.shape:
            raise InputError(
                f"The labels have the shape {self.annotation.shape} and the image {spatial}: "
                "choose labels that were painted on this image."
            )
        finite = _finite(self.image)
        if finite is not None and (self.annotation.counted & ~finite).any():
            raise InputError(
                "The image holds NaN or infinite numbers at annotated pixels. Leave these pixels "
                "out of the annotation, or replace the numbers."
            )

    @property
    def axes(self) -> str:
        """Axes of the image: C and two or three of Z, Y and X."""
        return "C" + "ZYX"[1 - self.image.ndim :]

    def scale(self, scaling: NormalisationSpec = NormalisationSpec()) -> Normalisation:  # noqa: B008
        """Return its normalisation, computed by `scaling` when missing."""
        if self.normalisation is not None:
            return self.normalisation
        return fit_normalisation(Image(self.image, self.axes), scaling)

    def normalised(self, scaling: NormalisationSpec) -> "AnnotatedImage":
        """Return it with a normalisation; intensities are scaled only when they are read."""
        return replace(self, normalisation=self.scale(scaling))


def examples_of(
    pair: TrainingPair,
    kind: AnnotationKind = "scribbles",
    *,
    ndim: int = 2,
    values: Sequence[int] = (),
    names: Sequence[str] = (),
    scaling: NormalisationSpec = NormalisationSpec(),  # noqa: B008 - frozen
) -> list[AnnotatedImage]:
    """Read the annotated planes or stacks of a pair, and no others.

    Parameters
    ----------
    pair
        Normalised by statistics of the whole image, see `fit_normalisation`. Pixels where the image
        is NaN or infinite, or the labels are below 0, are ignored.
    kind, values, names
        See `Annotation.of`.
    ndim
        2 for planes, 3 for stacks.
    scaling
        How intensities are normalised.

    Raises
    ------
    InputError
        As `Annotation.of`, and when stacks are wanted of an image without a Z axis.
    """
    image, region, counted, weights = pair.image, pair.region, pair.counted, pair.weights
    array = np.asarray(pair.labels)
    check_shape(image, array)
    axes = image.axes.replace("C", "")
    done = None if region is None or kind == "scribbles" else np.asarray(region) != 0
    if done is not None and done.shape != array.shape:
        raise InputError(
            f"The finished regions have the shape {done.shape} and the labels {array.shape}: "
            "mark them on the same image."
        )
    if ndim == 3 and "Z" not in axes:
        raise InputError(
            f"The image has no Z axis (it has {image.axes}), so it cannot train a model of stacks. "
            "Choose a stack, or train on planes."
        )
    found = tuple(values) or values_of([array], kind)
    block = "ZYX"[-ndim:]
    below = _below_zero(array)
    if below is not None:
        counted = ~below if counted is None else np.asarray(counted) & ~below
    painted = Image(_whole_numbers(array, kind), axes)
    done_image = None if done is None else Image(done, axes)
    counted_image = None if counted is None else Image(counted, axes)
    weight_image = None if weights is None else Image(weights, axes)
    normalisation = fit_normalisation(image, scaling)
    examples = []
    for index in painted.indices(block):
        part = painted.block(index, block)
        finished = None if done_image is None else done_image.block(index, block)
        partial = kind == "scribbles" or finished is not None
        if partial and not (part.any() or (finished is not None and finished.any())):
            continue
        annotation = Annotation.of(part, kind, values=found, names=names, region=finished)
        if counted_image is not None:
            annotation = annotation.only(counted_image.block(index, block))
        if weight_image is not None:
            each = weight_image.block(index, block)
            annotation = replace(annotation.only(each > 0), weights=each)
        restricted = counted_image is not None or weight_image is not None
        if restricted and not annotation.counted.any():
            continue
        numbers = image.block(index, "C" + block)
        if "C" in image.axes:
            inner = [axis for axis in image.axes if axis in "C" + block]
            numbers = np.moveaxis(numbers, inner.index("C"), 0)
        else:
            numbers = numbers[None]
        finite = _finite(numbers)
        if finite is not None:
            annotation = annotation.only(finite)
            if not annotation.counted.any():
                continue
        spacing = image.spacing[-ndim:]
        examples.append(AnnotatedImage(numbers, annotation, normalisation, spacing, pair.times))
    return examples


def _finite(image: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return where all channels of (C, *spatial) are finite, if they are not everywhere."""
    if image.dtype.kind != "f":
        return None
    finite: NDArray[np.bool_] = np.isfinite(image).all(0)
    return None if finite.all() else finite


def check_shape(image: Image, labels: NDArray[Any]) -> None:
    """Check that labels have the image's shape without its channels.

    Raises
    ------
    InputError
        When the shapes differ.
    """
    if labels.shape != tuple(image.length(axis) for axis in image.axes if axis != "C"):
        raise InputError(
            f"The labels have the shape {labels.shape} and the image {image.shape} ({image.axes}): "
            "choose labels that were painted on this image."
        )


def values_of(labels: Sequence[NDArray[Any]], kind: AnnotationKind) -> tuple[int, ...]:
    """Return the class values of several label arrays together, ascending.

    Raises
    ------
    InputError
        When there are more than `MAX_CLASSES`, which must be object ids, or one is too large.
    """
    if kind == "objects":
        return (0, 1)
    found: set[int] = set() if kind == "scribbles" else {0}
    for array in labels:
        found.update(int(value) for value in np.unique(_whole_numbers(array, kind)))
    if kind == "scribbles":
        found.discard(0)
    if len(found) > MAX_CLASSES:
        raise InputError(
            f"The labels hold {len(found)} different values, more than {MAX_CLASSES} classes: "
            "they look like object ids. Say that the labels are objects."
        )
    if found and max(found) > LARGEST_CLASS:
        raise InputError(
            f"The labels hold the class value {max(found)}; class values go up to {LARGEST_CLASS}. "
            "Renumber the classes from 1, or say that the labels are objects."
        )
    return tuple(sorted(found))


def class_names_of(
    values: Sequence[int], kind: AnnotationKind, known: Mapping[int, str]
) -> tuple[str, ...]:
    """Return a name for each class but the background of a mask: the known one, or a default."""
    front = [value for value in values if value or kind == "scribbles"]
    return tuple(known.get(value) or f"class {value}" for value in front)


def check_trainable(annotations: Sequence[Annotation], *, apart: bool = False) -> None:
    """Check that at least two classes are annotated.

    Parameters
    ----------
    apart
        Whether touching objects are separated too. Then two objects are enough, without
        background: they may fill the image, as the cells of a tissue do.

    Raises
    ------
    InputError
        When nothing is annotated, only one class is, or the annotations differ in classes.
    """
    if not annotations or not any(annotation.counts().any() for annotation in annotations):
        raise InputError("Nothing is annotated yet. Paint a stroke of each class, then train.")
    first = annotations[0]
    if any(annotation.values != first.values for annotation in annotations):
        raise InputError(
            "The annotations have different classes. Read them together, with the same `values`."
        )
    counts = np.sum([annotation.counts() for annotation in annotations], axis=0)
    present = [name for name, count in zip(first.names, counts, strict=True) if count]
    if len(present) < 2 and not (
        apart and any(annotation.n_objects > 1 for annotation in annotations)
    ):
        raise InputError(
            f"Only one class is annotated ({present[0]}). Paint at least one stroke of another."
        )


def _whole_numbers(labels: Any, kind: AnnotationKind) -> NDArray[Any]:
    """Convert labels to integers of at least 0; those below 0 become 0."""
    array = np.asarray(labels)
    if array.dtype.kind == "f" and array.size:
        array = whole_numbers(array, "The label array")
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype.kind not in "ui":
        raise InputError(
            f"Labels are whole numbers, not {array.dtype}. Choose a label layer or a label image."
        )
    if array.dtype.kind == "i" and array.size and array.min() < 0:
        array = np.maximum(array, 0)
    if kind != "mask" or not array.size:
        return array
    array = hard_mask(array)
    if array.max() == 255 and set(np.unique(array)) <= {0, 255}:
        return (array > 0).astype(np.uint8)
    return array


def _below_zero(labels: Any) -> NDArray[np.bool_] | None:
    """Return where labels are below 0, if they are anywhere: these pixels are ignored."""
    array = np.asarray(labels)
    if array.dtype.kind not in "if":
        return None
    below: NDArray[np.bool_] = array < 0
    return below if below.any() else None


def _ids(array: NDArray[Any]) -> NDArray[np.int32]:
    """Convert object ids to int32, renumbered where they are too large for it."""
    if array.size and array.max() >= 2**31:
        from skimage.segmentation import relabel_sequential

        array = relabel_sequential(array)[0]
    return array.astype(np.int32)


def _indices(array: NDArray[Any], values: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the index of each pixel's value, `IGNORED` for other values."""
    targets = np.full(array.shape, IGNORED, np.uint8)
    for k, value in enumerate(values):
        targets[array == value] = k
    return targets


def _names(values: tuple[int, ...], kind: AnnotationKind, given: Sequence[str]) -> tuple[str, ...]:
    """Return a name for each class: the given ones of the foreground, defaults where missing."""
    front = [value for value in values if value or kind == "scribbles"]
    defaults = ["object"] if kind == "objects" else [f"class {value}" for value in front]
    named = [*given[: len(front)], *defaults[len(given) :]]
    return tuple(named if len(front) == len(values) else ["background", *named])
