"""The flags ``--axes``, ``--channel`` and ``--scene`` of every command that reads images."""

from pathlib import Path

from napari_unetseg.cli import console
from napari_unetseg.cli.flags import with_options
from napari_unetseg.core.image import Image, doubt_axes
from napari_unetseg.core.io import read_image, read_labels
from napari_unetseg.core.io.image_step import ImageStep
from napari_unetseg.core.label_image import Note, no_note

with_image_flags = with_options(ImageStep, into="seen")
"""Decorator that turns the parameter `seen` of a command into these flags."""


def read_seen(path: Path, seen: ImageStep) -> Image:
    """Read an image with the axes, channels and scene of the flags, and print notes on it."""
    image = read_image(path, seen.axes or None, channel=seen.channel, scene=seen.scene)
    console.with_notes(path, image)
    doubt = "" if seen.axes else doubt_axes(image)
    if doubt:
        console.note(f"{path}: {doubt} Give --axes if they are others.")
    return image


def read_seen_labels(
    path: Path, seen: ImageStep, note: Note = no_note, *, alone: bool = False
) -> Image:
    """Read labels with the axes of the flags, if they have as many, and without channels.

    The scene of the flags is that of the image, or of labels that are `alone`.

    Where labels have channels, as thresholds of several channels have, ``--channel`` chooses in
    them as in their image.
    """
    labels = read_labels(path, scene=seen.scene if alone else "", note=note)
    return seen_labels(console.with_notes(path, labels), seen)


def seen_labels(labels: Image, seen: ImageStep) -> Image:
    """Return labels as `read_seen_labels` does."""
    axes = next((a for a in (seen.axes.replace("C", ""), seen.axes) if len(a) == labels.ndim), "")
    if axes and not labels.rgb:
        labels = Image.of(
            labels.data, axes, spacing=_spacing_along(labels, axes), unit=labels.unit, rgb=False
        )
    if labels.n_channels == 1:
        return labels.channel(0)
    return labels.channels(seen.channel) if seen.channel else labels


def _spacing_along(image: Image, axes: str) -> tuple[float, ...]:
    """Return the pixel size along the spatial axes of `axes`; 1 along those that are new."""
    known = dict(zip(image.spatial_axes, image.spacing, strict=True))
    return tuple(known.get(axis, 1.0) for axis in axes if axis in "ZYX")


__all__ = ["read_seen", "read_seen_labels", "seen_labels", "with_image_flags"]
