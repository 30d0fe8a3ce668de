"""All scores of two label images, and their means over images."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.label_image import comparable
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.scoring.boundary_scores import boundary_scores
from napari_unetseg.core.scoring.object_scores import object_scores
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of
from napari_unetseg.core.scoring.partition_scores import partition_scores


class ObjectScoreOptions(Options):
    """Options for comparing objects."""

    per: Literal["stack", "plane"] = option(
        "stack",
        "Objects per",
        "Stack: objects continue through z. Plane: each plane was labelled separately, so an id "
        "is another object in each. Frames of a time series are always separate.",
    )
    tolerance: float = option(
        2.0,
        "Tolerance",
        "Largest distance at which two boundaries count as equal; see units.",
        ge=0,
    )
    units: Literal["pixels", "physical"] = option(
        "pixels",
        "Units",
        "Unit of the tolerance and of Hausdorff distances. Pixels: those of the finest axis, "
        "with the planes of a stack at their true distance. Physical: the unit of the truth's "
        "pixel size.",
    )


@dataclass(frozen=True, eq=False)
class Judged:
    """Scores of one image, and the overlap counts behind them.

    Parameters
    ----------
    scores
        By name: `dice` and `iou` of the foreground, all of `ObjectScores`, `PartitionScores` and
        `BoundaryScores`.
    overlap
        The overlap counts, so that images can be pooled.
    """

    scores: Mapping[str, float]
    overlap: Overlap


def judge_objects(
    prediction: Image,
    truth: Image,
    options: ObjectScoreOptions | None = None,
    *,
    progress: Progress = silent,
) -> Judged:
    """Compare two label images by all scores.

    Parameters
    ----------
    prediction, truth
        Ids, with the same axes up to their names; see `overlap_of` for the definition of an object.
        Axes and spacing are those of the truth. Pixels below 0 in either are left out.
    options
        Options of the comparison.

    Raises
    ------
    InputError
        When the two differ in shape, or hold no ids.
    """
    chosen = options or ObjectScoreOptions()
    frame_axes = frame_axes_of(truth, chosen.per)
    predicted, true = comparable(
        prediction.asarray(part(progress, 0, 0.05)), truth.asarray(part(progress, 0.05, 0.1))
    )
    overlap = overlap_of(predicted, true, frame_axes=frame_axes, progress=part(progress, 0.1, 0.2))
    spacing = truth.spacing[-(true.ndim - frame_axes) :]
    if chosen.units == "pixels":
        spacing = tuple(step / min(spacing) for step in spacing)
    outlines = boundary_scores(
        predicted,
        true,
        tolerance=chosen.tolerance,
        spacing=spacing,
        frame_axes=frame_axes,
        progress=part(progress, 0.2, 1),
    )
    counted = _of_overlap(overlap)
    return Judged({**counted, **asdict(outlines)}, overlap)


def frame_axes_of(labels: Image, per: str) -> int:
    """Return the number of leading axes of `labels` that count frames.

    Parameters
    ----------
    per
        ``"stack"``: time only. ``"plane"``: all axes before Y and X.

    Raises
    ------
    InputError
        When the labels have channels, which are not frames.
    """
    if "C" in labels.axes:
        raise InputError("Labels have no channels. Choose one of them, or leave the axis out.")
    return len(labels.axes) - 2 if per == "plane" else labels.axes.count("T")


def pool_scores(several: Sequence[Judged]) -> dict[str, float]:
    """Compute the scores over the pooled objects of all images, without boundaries.

    Notes
    -----
    StarDist reports these scores for a data set; Cellpose and most challenges take the mean over
    images.
    """
    return _of_overlap(Overlap.joined([image.overlap for image in several]))


def average_scores(several: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Average each score over the images where it is finite.

    A Hausdorff distance is infinite where only one of two images has a boundary; such an image is
    excluded from its mean, which is NaN if none is left.
    """
    rows = list(several)
    means = {}
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows if math.isfinite(row[name])]
        means[name] = float(np.mean(values)) if values else math.nan
    return means


def _of_overlap(overlap: Overlap) -> dict[str, Any]:
    predicted, true = int(overlap.prediction_sizes.sum()), int(overlap.truth_sizes.sum())
    both = int(overlap.pixels.sum())
    either = predicted + true - both
    foreground = {
        "dice": 2 * both / (predicted + true) if either else 1.0,
        "iou": both / either if either else 1.0,
    }
    return {
        **foreground,
        **asdict(object_scores(overlap)),
        **asdict(partition_scores(overlap)),
    }


__all__ = [
    "Judged",
    "ObjectScoreOptions",
    "average_scores",
    "frame_axes_of",
    "judge_objects",
    "pool_scores",
]
