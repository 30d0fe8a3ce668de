"""Thresholds of images larger than memory, box by box, equal to those of the whole image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.background.gaussian import kernel_radius
from napari_unetseg.core.image import Image, Index
from napari_unetseg.core.objects import masks as shapes
from napari_unetseg.core.objects.cross_block_objects import Box, box_within
from napari_unetseg.core.progress import Progress, map_chunks, silent
from napari_unetseg.core.threshold import classify_block, group_number
from napari_unetseg.core.threshold.threshold_options import ThresholdOptions

Classes = NDArray[np.uint8]
Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BlockClassifier:
    """Comparison of the pixels in a box with the levels.

    Parameters
    ----------
    smoothed
        From `napari_unetseg.core.threshold.smoothed_image`.
    groups
        Levels, from `napari_unetseg.core.threshold.group_values`.
    contrasts
        For Sauvola's method the intensity range of each plane, from `compute_contrasts`; empty for
        others.
    """

    smoothed: Image
    groups: Sequence[tuple[float, ...]]
    options: ThresholdOptions
    contrasts: Sequence[float] = ()

    def classes(self, index: Index, box: Box, block_axes: str) -> Classes:
        """Classify a box in the plane or stack at `index`, without cleaning.

        For hysteresis the classes are 1 beyond the lower level, 2 beyond both.
        """
        lengths = [self.smoothed.length(axis) for axis in block_axes]
        wide = tuple(
            slice(max(span.start - reach, 0), min(span.stop + reach, length))
            for span, length, reach in zip(box, lengths, self._reach(block_axes), strict=True)
        )
        data = self.smoothed.data[self.smoothed.block_slices(index, block_axes)][wide]
        group = group_number(self.smoothed, index, block_axes, self.options)
        contrast = self.contrasts[group] if self.contrasts else None
        options = self.options
        if options.method == "hysteresis":
            # Connectivity is decided on whole components; see `ThresholdObjectBuilder`.
            options = options.model_copy(update={"method": "multiotsu"})
        classes = classify_block(np.asarray(data), self.groups[group], options, contrast=contrast)
        return np.ascontiguousarray(classes[box_within(box, wide)])

    def _reach(self, block_axes: str) -> tuple[int, ...]:
        """Return the radius of the neighbourhood used by the comparison, per axis."""
        reach = {"sauvola": self.options.window // 2 + 1}.get(self.options.method, 0)
        if self.options.method == "gaussian":
            reach = kernel_radius((self.options.window - 1) / 6)
        return tuple(reach if axis in "YX" else 0 for axis in block_axes)


@dataclass(frozen=True)
class ThresholdObjectBuilder:
    """Cleaning of classes into objects, as in `napari_unetseg.core.threshold.threshold`.

    Parameters
    ----------
    options
        The options for cleaning and splitting.
    spacing
        Physical size of a pixel along each axis.
    """

    options: ThresholdOptions
    spacing: tuple[float, ...]

    @property
    def fill_holes(self) -> bool:
        return self.options.fill_holes

    def mask(self, known: Classes) -> Mask:
        return known > 0

    def objects(
        self, known: Classes, own: Mask, box: Box, shape: tuple[int, ...]
    ) -> tuple[Labels, int]:
        options, mask = self.options, own & (known > 0)
        if options.method == "hysteresis":
            mask = shapes.connected_to(mask, own & (known > 1))
        mask, _ = shapes.clean(mask, fill_holes=options.fill_holes, min_size=options.min_size)
        if options.clear_border:
            mask = _without_border(mask, box, shape)
        if not options.split:
            return shapes.label(mask)
        return shapes.split_touching(
            mask, depth=options.split_depth, spacing=self.spacing, min_size=options.min_size
        )


def compute_contrasts(
    smoothed: Image, options: ThresholdOptions, progress: Progress = silent
) -> tuple[float, ...]:
    """Compute the range of the finite values of each plane, if Sauvola's method needs it."""
    if options.method != "sauvola" or smoothed.dtype in (np.dtype(np.uint8), np.dtype(np.bool_)):
        return ()
    contrasts = []
    for index in smoothed.indices():
        low, high = _ends(smoothed.data[smoothed.block_slices(index)], progress)
        contrasts.append(max(high - low, 0.0))
    return tuple(contrasts)


def _ends(plane: Any, progress: Progress) -> tuple[float, float]:
    ends = [chunk for chunk in map_chunks(plane, _ends_of, progress) if chunk is not None]
    lows, highs = zip(*ends, strict=True) if ends else ((0.0,), (0.0,))
    return min(lows), max(highs)


def _ends_of(pixels: Any) -> tuple[float, float] | None:
    values = pixels[np.isfinite(pixels)]
    return (float(values.min()), float(values.max())) if values.size else None


def _without_border(mask: Mask, box: Box, shape: tuple[int, ...]) -> Mask:
    """Remove the components of a mask that touch the border of the whole image."""
    parts, n = shapes.label(mask)
    keep = np.ones(n + 1, np.bool_)
    for axis, (span, length) in enumerate(zip(box, shape, strict=True)):
        along = np.moveaxis(parts, axis, 0)
        if span.start == 0:
            keep[np.unique(along[0])] = False
        if span.stop == length:
            keep[np.unique(along[-1])] = False
    keep[0] = False
    cleared: Mask = keep[parts]
    return cleared


__all__ = ["BlockClassifier", "ThresholdObjectBuilder", "compute_contrasts"]
