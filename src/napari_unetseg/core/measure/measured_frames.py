"""Frames of a measurement: a time point, or a single plane of it."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from napari_unetseg.core.image import Image, Index
from napari_unetseg.core.measure.measure_options import MeasureOptions


@dataclass(frozen=True)
class MeasuredFrame:
    """Unit of measurement: a time point, or a single plane of it.

    Parameters
    ----------
    position
        Index along T and, for a plane, along Z.
    planes
        Index of each of its planes along the loop axes, and along Z.
    axes, spacing
        Axes and spacing of the objects in it.
    """

    position: dict[str, int]
    planes: tuple[tuple[Index, int], ...]
    axes: str
    spacing: tuple[float, ...]

    @property
    def flat(self) -> bool:
        """Whether its objects are planar."""
        return len(self.axes) == 2

    def block(self, image: Image) -> NDArray[Any]:
        """Read the whole frame into memory, (Y, X) or (Z, Y, X)."""
        index = tuple(self.position[axis] for axis in image.axes if axis not in self.axes)
        return image.block(index, self.axes)


def settle_frames(options: MeasureOptions, depth: int) -> MeasureOptions:
    """Return options that measure planes where the image has a single one: it has no volume."""
    return options if depth > 1 else options.model_copy(update={"per": "plane"})


def is_flat(labels: Image, options: MeasureOptions) -> bool:
    """Whether planes of whole labels are measured, not volumes; a single plane has none."""
    return measures_planes(labels, settle_frames(options, labels.length("Z")))


def measures_planes(labels: Image, options: MeasureOptions) -> bool:
    """Whether planes of labels, or of a part of them, are measured by the options of the whole."""
    return "Z" not in labels.axes or options.per == "plane"


def list_frames(labels: Image, options: MeasureOptions) -> list[MeasuredFrame]:
    """List the frames of labels, ordered by time and plane."""
    loops = [axis for axis in labels.axes if axis not in "YX"]
    apart = "TZ" if options.per == "plane" else "T"
    keys = [axis for axis in "TZ" if axis in loops and axis in apart]
    planes: dict[Index, list[tuple[Index, int]]] = {}
    for index in labels.indices():
        at = dict(zip(loops, index, strict=True))
        planes.setdefault(tuple(at[k] for k in keys), []).append((index, at.get("Z", 0)))
    axes, spacing = (
        ("YX", labels.spacing[-2:]) if measures_planes(labels, options) else ("ZYX", labels.spacing)
    )
    return [
        MeasuredFrame(dict(zip(keys, key, strict=True)), tuple(planes[key]), axes, spacing)
        for key in sorted(planes)
    ]
