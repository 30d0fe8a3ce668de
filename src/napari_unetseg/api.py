"""The functions of ``import napari_unetseg``: arrays in, arrays out, options as keywords.

Each calls the function of `napari_unetseg.core` that the docks and the command line call, too. An
`Image` gives an `Image`; any other array (numpy, dask, zarr) gives a plain array, which is a dask
array where the result is lazy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args, overload

import numpy as np

from napari_unetseg.api_arguments import (
    ModelLike,
    Spacing,
    array_from,
    check_keyword,
    chosen_options,
    image_from,
    like_given,
    marks_from,
    model_and_training,
    model_from,
    offering,
    paired_lists,
    sorted_keywords,
    take_channel,
)
from napari_unetseg.core import background as backgrounds
from napari_unetseg.core import measure as measuring
from napari_unetseg.core import recipe as recipes
from napari_unetseg.core import samples
from napari_unetseg.core import threshold as thresholding
from napari_unetseg.core.annotation.annotation import MAX_CLASSES, TrainingPair
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.background import Background, BackgroundOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Channels, Image
from napari_unetseg.core.inference.predict_options import PredictOptions, What, with_found_scale
from napari_unetseg.core.inference.prediction import predict as run_model
from napari_unetseg.core.io import read_image, write_image, write_labels, write_table
from napari_unetseg.core.io.paths import PathLike
from napari_unetseg.core.label_image import comparable, label_image
from napari_unetseg.core.measure import CellMeasureOptions, MeasureOptions, Table
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.compare_shipped import choose_shipped, means_auto
from napari_unetseg.core.models_io.foreign import open_model
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.objects.compartments import find_compartments
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.prompts.marked_objects import ClickOptions, click_objects
from napari_unetseg.core.recipe import Recipe, RecipeResult
from napari_unetseg.core.scoring.pixel_scores import class_scores, mean_scores
from napari_unetseg.core.scoring.score_summary import ObjectScoreOptions, judge_objects
from napari_unetseg.core.threshold import ThresholdOptions
from napari_unetseg.core.training import train as training
from napari_unetseg.core.training.suggested_start import SUGGESTED_START

# Files


def read(
    path: PathLike,
    axes: str | None = None,
    *,
    channel: Channels = "",
    level: int = 0,
    scene: str = "",
) -> Image:
    """Read an image, or labels, with axes and physical pixel size.

    Parameters
    ----------
    path
        TIFF, OME-Zarr, ``.npy``, PNG, JPEG and anything else that an installed napari plugin reads.
    axes
        Letters of TCZYX for the axes, where the file does not name them.
    channel
        Number from 0, or name, of a channel to read, or a list of them; empty for all.
    level
        Resolution of a file that has several: 0 is the full one.
    scene
        Name, or number from 0, of the image in a file that holds several.

    Returns
    -------
    Image
        Lazy for zarr and for files above 1 GiB, otherwise in memory. `Image.notes` are remarks,
        such as that the first of several images was taken.

    Raises
    ------
    InputError
        When the file is missing, damaged, empty or of an unknown kind.
    """
    return read_image(path, axes, channel=channel, level=level, scene=scene)


def write(
    path: PathLike,
    data: Any,
    *,
    labels: bool | None = None,
    axes: str | None = None,
    spacing: Spacing = (),
    unit: str = "",
    channel_names: Sequence[str] = (),
) -> None:
    """Write an image, labels, a table or a trained model, replacing the file in one step.

    Parameters
    ----------
    path
        ``.tif``, ``.zarr`` or ``.png`` for images and labels, ``.csv`` or ``.tsv`` for tables,
        ``.zip`` for models.
    data
        An image or array, the columns of `measure`, or the model of `train`.
    labels
        Whether to write the smallest integer type that holds the values, compressed. By default
        this is done for booleans, int32 and int64, the types of masks and of ids.
    axes, spacing, unit, channel_names
        Metadata of an array that has none of its own; see `Image.of`.

    Raises
    ------
    InputError
        When the suffix does not fit the data, or the path cannot be written.

    Examples
    --------
    >>> import napari_unetseg as seg
    >>> seg.write("ids.tif", np.eye(8, dtype="int32"), spacing=0.5, unit="µm")
    >>> seg.read("ids.tif")
    Image(axes='YX', shape=(8, 8), dtype=uint8, spacing=(0.5, 0.5) µm)
    """
    if isinstance(data, TrainedModel):
        return save(data, path)
    if isinstance(data, Mapping):
        return write_table(path, data)
    image = image_from(
        data, "data", axes=axes, spacing=spacing, unit=unit, channel_names=channel_names
    )
    if labels is None:
        labels = image.dtype == bool or (image.dtype.kind == "i" and image.dtype.itemsize >= 4)
    return write_labels(path, image) if labels else write_image(path, image)


# The background


@offering(BackgroundOptions)
def fit_background(
    image: Any,
    options: BackgroundOptions | None = None,
    *,
    exclude: Any = None,
    axes: str | None = None,
    spacing: Spacing = (),
    unit: str = "",
    progress: Progress = silent,
    **keywords: Any,
) -> Background:
    """Fit a smooth surface to the background of an image.

    Parameters
    ----------
    image
        An `Image` or any array; `channel` chooses one by number or name, or a list of them.
    options
        All options at once, instead of keywords.
    exclude
        Mask of pixels to leave out of the fit, of the image's shape without channels.
    axes, spacing, unit
        Metadata of an array that has none of its own; see `Image.of`.
    progress
        Called with the completed fraction; may raise `Cancelled`.

    Returns
    -------
    Background
        Its `surface()` is the fitted background, its `flatten(image)` removes it.

    Raises
    ------
    InputError
        When the image or an option does not fit, or too little background is left.

    Examples
    --------
    >>> import napari_unetseg as seg
    >>> y, x = np.mgrid[:64, :64]
    >>> fitted = seg.fit_background(100.0 + x + 2 * y, terms="plane", robust="none")
    >>> bool(np.allclose(fitted.surface(), 100 + x + 2 * y))
    True
    """
    given = image_from(image, axes=axes, spacing=spacing, unit=unit, channel=take_channel(keywords))
    chosen = chosen_options(BackgroundOptions, options, keywords)
    mask = None if exclude is None else np.asarray(array_from(exclude, "exclude"))
    return backgrounds.fit_background(given, chosen, exclude=mask, progress=progress)


@overload
def flatten(image: Image, background: Background | None = None, **keywords: Any) -> Image: ...
@overload
def flatten(image: Any, background: Background | None = None, **keywords: Any) -> Any: ...
@offering(BackgroundOptions)
def flatten(
    image: Any,
    background: Background | None = None,
    *,
    axes: str | None = None,
    progress: Progress = silent,
    **keywords: Any,
) -> Any:
    """Remove the background from an image.

    Parameters
    ----------
    image
        An `Image` or any array; `channel` chooses one by number or name, or a list of them.
    background
        From `fit_background`, also of another image of this shape. Fitted when missing.
    axes
        Axes of an array; see `Image.of`.
    progress
        Called with the completed fraction; may raise `Cancelled`.

    Returns
    -------
    Image or array
        float32, with the image's axes; a colour image becomes grey.

    Raises
    ------
    InputError
        As `fit_background`; and when the background is of an image of another shape.

    Examples
    --------
    >>> import napari_unetseg as seg
    >>> sample = seg.samples.nuclei((96, 96), seed=2)
    >>> flat = seg.flatten(sample.image, mode="divide", robust="bright")
    >>> flat.shape, flat.dtype
    ((96, 96), dtype('float32'))
    """
    given = image_from(image, axes=axes, channel=take_channel(keywords))
    if background is None:
        background = fit_background(given, progress=progress, **keywords)
    elif keywords:
        raise InputError(
            f"The background is fitted already, so {', '.join(keywords)} has no effect. Leave out "
            "one of the two."
        )
    return like_given(image, background.flatten(given))


# The threshold


@overload
def threshold(image: Image, options: ThresholdOptions | None = None, **keywords: Any) -> Image: ...
@overload
def threshold(image: Any, options: ThresholdOptions | None = None, **keywords: Any) -> Any: ...
@offering(ThresholdOptions)
def threshold(
    image: Any,
    options: ThresholdOptions | None = None,
    *,
    values: Sequence[float] | None = None,
    axes: str | None = None,
    progress: Progress = silent,
    **keywords: Any,
) -> Any:
    """Segment an image by a threshold, into classes or objects.

    Parameters
    ----------
    image
        An `Image` or any array; colour is thresholded as one grey image. `channel` also chooses
        one by number or name, or a list of them.
    options
        All options at once, instead of keywords.
    values
        Levels to use instead of the method's.
    axes
        Axes of an array; see `Image.of`.
    progress
        Called with the completed fraction; may raise `Cancelled`.

    Returns
    -------
    Image or array
        Classes are uint8, objects int32; 0 is background. Of the image's shape, without the colour
        axis of a colour image.

    Raises
    ------
    InputError
        When the image or an option does not fit, or the method finds no level.

    Examples
    --------
    >>> import napari_unetseg as seg
    >>> squares = np.kron(np.eye(5)[::2], np.ones((8, 8)))
    >>> int(seg.threshold(squares, method="otsu", result="objects", min_size=10).max())
    3
    """
    given = image_from(image, axes=axes, channel=take_channel(keywords))
    chosen = chosen_options(ThresholdOptions, options, keywords)
    levels = None if values is None else tuple(values)
    found = thresholding.threshold(given, chosen, values=levels, progress=progress)
    return like_given(image, found.image)


# Models


def train(
    images: Any,
    labels: Any,
    model: str | ModelSpec | None = None,
    *,
    labels_are: AnnotationKind,
    regions: Any = None,
    name: str = "",
    class_names: Sequence[str] = (),
    ndim: int = 2,
    start: ModelLike | Literal["suggested"] | None = None,
    features_from: ModelLike | None = None,
    axes: str | None = None,
    channel: Channels = "",
    spacing: Spacing = (),
    unit: str = "",
    channel_names: Sequence[str] = (),
    progress: Progress = silent,
    **keywords: Any,
) -> TrainedModel:
    """Train a model on an image and its labels, or on lists of them.

    Parameters
    ----------
    images
        An `Image` or any array, or a list of them with the same channels.
    labels
        Labels of each image, of its shape without channels. Pixels below 0 are not learnt from,
        nor are those where the image is NaN.
    model
        ``"logistic"``, ``"softmax"``, ``"mlp"``, ``"cnn"``, ``"unet"`` or ``"pretrained-unet"``.
        When missing, that of `start`, or logistic.
    labels_are
        ``"scribbles"``: classes from 1, 0 is not labelled. ``"mask"``: classes from 1, 0 is
        background. ``"objects"``: an id for each object, 0 is background.
    regions
        Arrays of the labels' shape: nonzero where a mask or objects are finished. Everywhere if
        missing.
    name
        Name of the new model.
    class_names
        Names of the classes, without the background.
    ndim
        2 to learn planes, 3 to learn stacks.
    start
        A model of the same kind to continue from; it is not changed. ``"suggested"`` is the shipped
        model that agrees best with the labels or, if none agrees well, a ``"pretrained-unet"``.
    features_from
        A UNet whose features a logistic, softmax or mlp model uses.
    axes, spacing, unit, channel_names
        Metadata of arrays that have none of their own; see `Image.of`.
    channel
        Number from 0, or name, of the channel to use, or a list of them; empty for all. Of colour
        images also ``"luminance"``.
    progress
        Called with the completed fraction; may raise `Cancelled`, or `StopEarly` to keep the best
        so far.
    **keywords
        Options of the model (`LogisticSpec`, `SoftmaxSpec`, `MlpSpec`, `CnnSpec`, `UNetSpec`) and
        of the training (`TrainOptions`), such as ``budget=5`` minutes for a UNet.

    Returns
    -------
    TrainedModel
        The model, for `predict`; `write` saves it. Its `scores` are those of the validation set.

    Raises
    ------
    InputError
        When images, labels and options do not fit each other; or without torch.

    Examples
    --------
    >>> import napari_unetseg as seg
    >>> sample = seg.samples.nuclei((96, 96), seed=3)
    >>> model = seg.train(sample.image, sample.mask, labels_are="mask")
    >>> model
    TrainedModel('logistic', logistic, classes=('background', 'class 1'), dice=0.996)
    >>> found = seg.predict(sample.image, model)
    >>> seg.evaluate(found > 0, sample.mask).dice > 0.9
    True
    """
    check_keyword("labels_are", labels_are, get_args(AnnotationKind))
    metadata: Any = {"axes": axes, "spacing": spacing, "unit": unit, "channel_names": channel_names}
    metadata["channel"] = channel
    pairs = [
        TrainingPair(
            image_from(image, **metadata),
            np.asarray(array_from(truth, "labels")),
            None if region is None else np.asarray(array_from(region, "regions")),
        )
        for image, truth, region in paired_lists(images, labels, regions)
    ]
    suggests = isinstance(start, str) and start == SUGGESTED_START
    start_model = None if start is None or suggests else model_from(start)
    spec, options = model_and_training(model, start_model, keywords)
    outcome = training.train(
        spec,
        pairs,
        options,
        name=name or spec.kind,
        labels_are=labels_are,
        class_names=class_names,
        ndim=ndim,
        start=SUGGESTED_START if suggests else start_model,
        features_from=None if features_from is None else model_from(features_from),
        progress=progress,
    )
    return outcome.model


@overload
def predict(image: Image, model: ModelLike, what: What = "auto", **keywords: Any) -> Image: ...
@overload
def predict(image: Any, model: ModelLike, what: What = "auto", **keywords: Any) -> Any: ...
@offering(PredictOptions, DecodeOptions)
def predict(
    image: Any,
    model: ModelLike,
    what: What = "auto",
    *,
    axes: str | None = None,
    channel: Channels = "",
    spacing: Spacing = (),
    unit: str = "",
    progress: Progress = silent,
    **keywords: Any,
) -> Any:
    """Segment an image of any size with a trained model.

    Parameters
    ----------
    image
        An `Image` or any array, with the channels that the model was trained on.
    model
        A model, its file, or the name of one that ships, such as ``"nuclei"``. ``"auto"`` tries
        those on the image and takes the one that fits best, at the scale that it finds unless a
        size is given; see `napari_unetseg.core.models_io.compare_shipped`.
    what
        ``"classes"``, ``"objects"`` or ``"probabilities"``; ``"auto"`` is objects where the model
        learnt objects, otherwise classes.
    axes, spacing, unit
        Metadata of an array that has none of its own; see `Image.of`.
    channel
        Number from 0, or name, of the channel to use, or a list of them; empty for all. Of colour
        images also ``"luminance"``.
    progress
        Called with the completed fraction; may raise `Cancelled`, or `StopEarly` to keep the
        finished part.

    Returns
    -------
    Image or array
        Classes: uint8, a value for each class, 0 for background. Objects: int32, an id for each.
        Both have the image's axes without channels. Probabilities: float32, with a channel axis
        for the classes.

    Raises
    ------
    InputError
        When image, model and options do not fit each other; when no shipped model fits; or without
        torch.

    Examples
    --------
    >>> import napari_unetseg as seg
    >>> sample = seg.samples.nuclei((128, 128), seed=4)
    >>> ids = seg.predict(sample.image, "nuclei", min_size=20)
    >>> seg.evaluate(ids, sample.objects).f1 > 0.8
    True
    """
    given = image_from(image, axes=axes, spacing=spacing, unit=unit, channel=channel)
    chosen_result, decoding = sorted_keywords(keywords, PredictOptions, DecodeOptions)
    check_keyword("what", what, get_args(What))
    if decoding and what not in ("auto", "objects"):
        raise InputError(
            f"{', '.join(decoding)} would only matter for objects, and {what} are asked for. "
            'Set what="objects", or leave them out.'
        )
    options = PredictOptions.checked(what=what, **chosen_result)
    objects = DecodeOptions.checked(**decoding)
    if isinstance(model, str | Path) and means_auto(model):
        chosen, reason = choose_shipped(given, progress=part(progress, 0, 0.2))
        progress = part(progress, 0.2, 1)
        progress(0.0, reason)
        options = with_found_scale(options, chosen, given)
    else:
        chosen = model_from(model)
    prediction = run_model(chosen, given, options, decoding=objects, progress=progress)
    return like_given(image, prediction)


# Clicks


@overload
def click(image: Image, points: Any = None, boxes: Any = None, **keywords: Any) -> Image: ...
@overload
def click(image: Any, points: Any = None, boxes: Any = None, **keywords: Any) -> Any: ...
@offering(ClickOptions)
def click(
    image: Any,
    points: Any = None,
    boxes: Any = None,
    *,
    outside: Any = None,
    axes: str | None = None,
    channel: Channels = "",
    spacing: Spacing = (),
    unit: str = "",
    progress: Progress = silent,
    **keywords: Any,
) -> Any:
    """Outline the objects that clicks or boxes mark.

    Parameters
    ----------
    image
        An `Image` or any array.
    points
        Clicks in pixels along the axes without channels, (n, axes): each in an object of its own.
        Or a dict, from the id of an object to its clicks.
    boxes
        Corners of a box around each object, (n, corners, axes), as a Shapes layer has them; or
        first row, first column, last row, last column, (n, 4). Or a dict, from the id of an object
        to its box. Boxes without ids count on after the points.
    outside
        A dict, from the id of an object to clicks that are not in it.
    axes, spacing, unit
        Metadata of an array that has none of its own; see `Image.of`.
    channel
        Number from 0, or name, of the channel to use, or a list of them; empty for all. Of colour
        images also ``"luminance"``.
    progress
        Called with the completed fraction; may raise `Cancelled`.

    Returns
    -------
    Image or array
        Ids, int32, of the image's axes without channels; 0 is background. An id without pixels
        is one of a mark at which nothing was found.

    Raises
    ------
    InputError
        When the marks do not fit the image, or there is no object at any of them.

    Examples
    --------
    >>> import napari_unetseg as seg
    >>> sample = seg.samples.nuclei((96, 96), seed=3)
    >>> y, x = np.argwhere(sample.objects == 2).mean(0)
    >>> ids = seg.click(sample.image, [(y, x)])
    >>> bool(ids[round(y), round(x)] == 1)
    True
    """
    given = image_from(image, axes=axes, spacing=spacing, unit=unit, channel=channel)
    chosen = chosen_options(ClickOptions, None, keywords)
    marks = marks_from(points, boxes, outside, given.axes.replace("C", ""))
    return like_given(image, click_objects(given, marks, chosen, progress=progress).labels)


# Numbers


@offering(MeasureOptions)
def measure(
    labels: Any,
    image: Any = None,
    options: MeasureOptions | None = None,
    *,
    axes: str | None = None,
    channel: Channels = "",
    spacing: Spacing = (),
    unit: str = "",
    channel_names: Sequence[str] = (),
    **keywords: Any,
) -> Table:
    """Measure every object: size, position, shape and intensity.

    Parameters
    ----------
    labels
        Ids of objects, 0 for background: an `Image` or any array. Numbers below 0 are no objects.
    image
        Intensities to measure, with the labels' axes and optionally channels; or a dict of several
        such images by name.
    options
        All options at once, instead of keywords.
    axes
        Axes of the image, if it is an array; the labels have the same without C.
    channel
        Number from 0, or name, of the channel to use, or a list of them; empty for all. Of colour
        images also ``"luminance"``.
    spacing, unit
        Metadata of the labels, if they are an array; see `Image.of`.
    channel_names
        Channel names of the image, if it is an array.

    Returns
    -------
    dict of str to ndarray
        Columns for ``pandas.DataFrame``, a row for each object. Lengths are in pixels without a
        `unit`. See `napari_unetseg.core.measure.measure` for every column.

    Raises
    ------
    InputError
        When the labels are not whole numbers, or do not fit the image.

    Examples
    --------
    >>> import napari_unetseg as seg
    >>> labels = np.kron(np.diag([1, 2]), np.ones((4, 4), int))
    >>> table = seg.measure(labels, labels * 10.0, spacing=0.5, unit="µm")
    >>> [float(area) for area in table["area_um2"]], [float(mean) for mean in table["mean"]]
    ([4.0, 4.0], [10.0, 20.0])
    """
    own = None if axes is None else axes.upper().replace("C", "")
    ids = image_from(labels, "labels", axes=own, spacing=spacing, unit=unit, rgb=False)
    if ids.n_channels > 1 and channel != "":
        ids = ids.channels(channel)

    def as_image(array: Any) -> Image:
        same = ids.axes if axes is None and getattr(array, "ndim", 0) == ids.ndim else axes
        return image_from(
            array,
            axes=None if isinstance(array, Image) else same,
            channel_names=channel_names,
            channel=channel,
        )

    several = isinstance(image, Mapping)
    images = {name: as_image(array) for name, array in image.items()} if several else None
    values = images if several or image is None else as_image(image)
    return measuring.measure(ids, values, chosen_options(MeasureOptions, options, keywords))


@dataclass(frozen=True, eq=False)
class MeasuredCells:
    """Cells with their nuclei and cytoplasm, and a table with a row for each cell.

    Parameters
    ----------
    nuclei, cells, cytoplasm
        Ids of one shape; what belongs together has one number.
    table
        See `napari_unetseg.core.measure.measure_cells`.
    summary
        The number of cells, with and without nuclei, in a sentence.
    """

    nuclei: Any
    cells: Any
    cytoplasm: Any
    table: Table
    summary: str

    def __repr__(self) -> str:
        return f"MeasuredCells({self.summary!r})"


@offering(CellMeasureOptions)
def measure_cells(
    nuclei: Any,
    cells: Any = None,
    image: Any = None,
    options: CellMeasureOptions | None = None,
    *,
    boundaries_in: Any = None,
    axes: str | None = None,
    spacing: Spacing = (),
    unit: str = "",
    channel_names: Sequence[str] = (),
    progress: Progress = silent,
    **keywords: Any,
) -> MeasuredCells:
    """Pair nuclei with cells, and measure nucleus, cytoplasm and cell of each.

    Parameters
    ----------
    nuclei
        Ids of nuclei, 0 for background: an `Image` or any array.
    cells
        Ids of cells, of the same shape; their foreground with ``method="mask"``; not needed with
        ``method="grow"``.
    image
        Intensities to measure, with the labels' axes and optionally channels; or a dict of several
        such images by name.
    options
        All options at once, instead of keywords.
    boundaries_in
        One channel to follow bright or dark boundaries in, with ``method="mask"``.
    axes, spacing, unit, channel_names
        As in `measure`.
    progress
        Called with the completed fraction; may raise `Cancelled`.

    Returns
    -------
    MeasuredCells
        Three label images and the table.

    Raises
    ------
    InputError
        When an input is missing, is no label image, or they do not fit each other.

    Examples
    --------
    >>> import napari_unetseg as seg
    >>> sample = seg.samples.cells((128, 128), seed=1)
    >>> found = seg.measure_cells(sample.nuclei, sample.objects, sample.as_image())
    >>> found
    MeasuredCells('6 cells: 3 with one nucleus, 1 with several, 2 without.')
    >>> bool((found.table["cell_pixels"] >= found.table["nucleus_pixels"]).all())
    True
    """
    own = None if axes is None else axes.upper().replace("C", "")
    metadata: Any = {"axes": own, "spacing": spacing, "unit": unit, "rgb": False}
    seeds = image_from(nuclei, "nuclei", **metadata)

    def as_image(array: Any) -> Image:
        same = seeds.axes if axes is None and getattr(array, "ndim", 0) == seeds.ndim else axes
        return image_from(
            array, axes=None if isinstance(array, Image) else same, channel_names=channel_names
        )

    several = isinstance(image, Mapping)
    images = {name: as_image(array) for name, array in image.items()} if several else None
    values = images if several or image is None else as_image(image)
    known = [values] if isinstance(values, Image) else list((images or {}).values())
    seeds = measuring.copy_calibration(seeds, known)
    chosen = chosen_options(CellMeasureOptions, options, keywords)
    found = find_compartments(
        seeds,
        None if cells is None else image_from(cells, "cells", **metadata),
        chosen,
        image=None if boundaries_in is None else as_image(boundaries_in),
        progress=part(progress, 0, 0.3),
    )
    table = measuring.measure_cells(found, values, chosen, progress=part(progress, 0.3, 1))
    return MeasuredCells(
        like_given(nuclei, found.nuclei),
        like_given(nuclei, found.cells),
        like_given(nuclei, found.cytoplasm),
        table,
        found.summary(),
    )


class Evaluation(dict[str, float]):
    """Scores by name, also as attributes: ``result["dice"]`` is ``result.dice``."""

    _shown = ("dice", "iou", "precision", "recall", "f1", "ap50", "map", "matched", "missed")

    def __getattr__(self, name: str) -> float:
        if name in self:
            return self[name]
        raise AttributeError(f"There is no score {name!r}; there are {', '.join(self)}.")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self[name]:.3g}" for name in self._shown if name in self)
        more = len(self) - len(set(self._shown) & set(self))
        return f"Evaluation({shown}{f', and {more} more' if more else ''})"


@offering(ObjectScoreOptions)
def evaluate(
    predicted: Any,
    truth: Any,
    *,
    labels_are: Literal["mask", "objects"] | None = None,
    axes: str | None = None,
    spacing: Spacing = (),
    unit: str = "",
    **keywords: Any,
) -> Evaluation:
    """Score labels against the truth.

    Parameters
    ----------
    predicted, truth
        Masks, classes or object ids, 0 for background: images or arrays of one shape. Pixels below
        0 in either are left out.
    labels_are
        ``"mask"``: compare pixels, class by class; the scores are means over the classes.
        ``"objects"``: compare objects. When missing, booleans are a mask and integers objects.
    axes, spacing, unit
        Metadata of arrays that have none of their own; see `Image.of`.

    Returns
    -------
    Evaluation
        Scores by name. For a mask: dice, iou, precision and recall. For objects: dice and iou of
        the foreground, precision, recall, f1 at an IoU of 0.5, ap50, ap75, map and more; see
        `napari_unetseg.core.scoring.object_scores.ObjectScores`.

    Raises
    ------
    InputError
        When the two differ in shape, or are not integers.

    Examples
    --------
    >>> import napari_unetseg as seg
    >>> truth = np.kron(np.diag([1, 2]), np.ones((4, 4), int))
    >>> seg.evaluate(truth == 1, truth > 0)
    Evaluation(dice=0.667, iou=0.5, precision=1, recall=0.5)
    >>> seg.evaluate(truth * (truth == 1), truth).ap50
    0.5
    """
    metadata: Any = {"axes": axes, "spacing": spacing, "unit": unit, "rgb": False}
    found, true = (image_from(labels, "labels", **metadata) for labels in (predicted, truth))
    if labels_are is None:
        labels_are = "mask" if found.dtype == true.dtype == bool else "objects"
    check_keyword("labels_are", labels_are, ("mask", "objects"))
    if labels_are == "objects":
        options = chosen_options(ObjectScoreOptions, None, keywords)
        return Evaluation(judge_objects(found, true, options).scores)
    sorted_keywords(keywords)
    areas, true_areas = comparable(*(label_image(each).asarray() for each in (found, true)))
    values = sorted({*np.unique(areas).tolist(), *np.unique(true_areas).tolist()} - {0})
    if len(values) > MAX_CLASSES:
        raise InputError(
            f"The labels hold {len(values)} values, more than {MAX_CLASSES} classes: they look "
            'like object ids. Set labels_are="objects".'
        )
    scores = class_scores(areas, true_areas, values).values()
    return Evaluation(asdict(mean_scores(scores)))


# Recipes


def run_recipe(
    recipe: PathLike | Recipe,
    image: Any,
    *,
    trust: bool = False,
    axes: str | None = None,
    channel: Channels = "",
    spacing: Spacing = (),
    unit: str = "",
    channel_names: Sequence[str] = (),
    progress: Progress = silent,
) -> RecipeResult:
    """Run a recipe on an image, as the window and the command line do.

    Parameters
    ----------
    recipe
        A recipe file, or a recipe whose model path is relative to the working folder.
    image
        An `Image` or any array.
    trust
        Whether a TorchScript model, which is a program, may run.
    axes, spacing, unit, channel_names
        Metadata of an array that has none of its own; see `Image.of`.
    channel
        Number from 0, or name, of the channel to use, or a list of them; empty for all. Of colour
        images also ``"luminance"``.
    progress
        Called with the completed fraction; may raise `Cancelled`.

    Returns
    -------
    RecipeResult
        Its `labels`, `flattened` and `probabilities` are images, its `table` is a dict of columns;
        None for results that the recipe does not produce.

    Raises
    ------
    InputError
        When the recipe or its model cannot be read, or a step does not fit the image.
    """
    folder = Path() if isinstance(recipe, Recipe) else Path(recipe).parent
    steps = recipe if isinstance(recipe, Recipe) else recipes.read_recipe(recipe)
    if axes is None and not isinstance(image, Image):
        axes = steps.image.axes or None
    if channel != "":
        step = recipes.ImageStep.checked(axes=steps.image.axes, channel=channel)
        steps = steps.model_copy(update={"image": step})
    given = image_from(image, axes=axes, spacing=spacing, unit=unit, channel_names=channel_names)
    model = recipes.recipe_model(steps, folder, trust=trust)
    cell_model = recipes.recipe_cell_model(steps, folder, trust=trust)
    return recipes.run_recipe(steps, given, model=model, cell_model=cell_model, progress=progress)


__all__ = [
    "Evaluation",
    "Image",
    "MeasuredCells",
    "ModelLike",
    "Spacing",
    "click",
    "evaluate",
    "fit_background",
    "flatten",
    "measure",
    "measure_cells",
    "open_model",
    "predict",
    "read",
    "run_recipe",
    "samples",
    "threshold",
    "train",
    "write",
]
