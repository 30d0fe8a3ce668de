"""The resolution that a network works at, chosen by the width of the annotated structures.

Structures several pixels wide are found as well at half the resolution, in a quarter of the time
and with twice the receptive field; averaging also reduces noise.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import IGNORED, Annotation
from napari_unetseg.core.model.network_specs import ConvolutionalSpec, ModelSpec, Resolution
from napari_unetseg.core.objects.masks import cut_apart

HALF_FROM, QUARTER_FROM = 20.0, 34.0
"""Width in pixels from which half and quarter resolution are chosen."""


def resolve_resolution(
    spec: ModelSpec, annotations: Sequence[Annotation], *, like: ModelSpec | None = None
) -> ModelSpec:
    """Replace an automatic resolution by one that suits the annotations.

    Parameters
    ----------
    annotations
        Annotations of planes or stacks.
    like
        The spec of a network to continue from: its resolution is kept.

    Returns
    -------
    ModelSpec
        With the full resolution for strokes, which do not show the width of structures.
    """
    if not isinstance(spec, ConvolutionalSpec) or spec.resolution != "auto":
        return spec
    if isinstance(like, ConvolutionalSpec):
        # A network whose resolution was never resolved works at the full one.
        chosen: Resolution = "full" if like.resolution == "auto" else like.resolution
    else:
        chosen = _suited(annotations)
    return spec.model_copy(update={"resolution": chosen})


def measure_width(annotations: Sequence[Annotation]) -> float:
    """Measure the width of the foreground in pixels; infinite without foreground.

    The width of a class in a plane is the median of twice the distance to the edge, over the ridges
    of the distance transform: the width of a line, the diameter of a disc. Each ridge pixel weighs
    as much as the disc around it that touches the edge: the specks and ragged edges of a draft have
    many ridges, but little area. Of the planes the lower quartile counts, so that wide structures
    in some do not hide narrow ones in others, and of the classes the finest.

    Parameters
    ----------
    annotations
        Masks; at most twenty planes are measured.
    """
    widths: dict[int, list[float]] = {}
    planes = [plane for a in annotations for plane in zip(*map(_planes, _parts(a)), strict=True)]
    for targets, insides in planes[:: max(1, len(planes) // 20)]:
        for k in np.unique(targets[(targets != IGNORED) & (targets > 0)]):
            ridges = np.sort(_ridges((targets == k) & insides))
            area = np.cumsum(ridges**2)
            if len(ridges):
                middle = ridges[np.searchsorted(area, area[-1] / 2)]
                widths.setdefault(int(k), []).append(float(middle))
    quartiles = (np.percentile(each, 25, method="lower") for each in widths.values())
    return float(min(quartiles, default=np.inf))


def _suited(annotations: Sequence[Annotation]) -> Resolution:
    if not annotations[0].dense:
        return "full"
    width = measure_width(annotations)
    if not np.isfinite(width) or width < HALF_FROM:
        return "full"
    return "half" if width < QUARTER_FROM else "quarter"


def _ridges(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return twice the distance to the edge at its local maxima."""
    if not mask.any() or mask.all():
        return np.zeros(0)
    distance = scipy.ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
    ridge = mask & (distance == scipy.ndimage.maximum_filter(distance, 3))
    return np.asarray(2 * distance[ridge])


def _parts(annotation: Annotation) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the targets, and the mask left after touching objects are cut apart."""
    ids = annotation.objects
    insides = np.ones(annotation.shape, np.bool_) if ids is None else cut_apart(ids)
    return annotation.targets, insides


def _planes(targets: NDArray[Any]) -> list[NDArray[Any]]:
    return [targets] if targets.ndim == 2 else list(targets)


__all__ = ["measure_width", "resolve_resolution"]
