"""Measurement table: size, position, shape and intensity of objects."""

from collections.abc import Mapping

import numpy as np

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.label_image import known_labels, label_image, without_single_axes
from napari_unetseg.core.measure.column_units import measured_scale
from napari_unetseg.core.measure.columns import Table, build_columns
from napari_unetseg.core.measure.measure_options import MeasureOptions
from napari_unetseg.core.measure.measure_passes import Measured
from napari_unetseg.core.measure.measured_frames import list_frames, measures_planes, settle_frames
from napari_unetseg.core.measure.track_table import with_parents
from napari_unetseg.core.progress import Progress, part, silent

Images = Image | Mapping[str, Image] | None


def measure(
    labels: Image,
    image: Images = None,
    options: MeasureOptions | None = None,
    *,
    progress: Progress = silent,
) -> Table:
    """Measure every object of a label image.

    Parameters
    ----------
    labels
        Objects: integers, 0 for background, axes YX or ZYX, optionally with T. A boolean mask is
        one object. Pixels of one id are one object per time, connected or not.
    image
        Image for the intensities: the axes of `labels`, optionally with C; or several such images
        by name. RGB is converted to luminance. NaN pixels are ignored.
    options
        Which measurements to make; see `MeasureOptions`.
    progress
        Called after every few rows.

    Returns
    -------
    dict of str to ndarray
        Columns of equal length, a row for each object, ordered by time, plane and id. Columns with
        a unit end in it: ``um`` below stands for `unit_suffix`, ``px`` without calibration and for
        volumes without a known Z step.

        ``t``, ``z``
            Index of the time, if there is a T axis; index of the plane, if planes are measured
            separately.
        ``time_s``
            Seconds since the first time, if the time between images is known.
        ``label``
            The id of the object.
        ``parent``
            Of labels that are linked over time, the id of the mother; 0 for none.
        ``pixels``
            Number of pixels or voxels.
        ``area_um2`` or ``volume_um3``
            `pixels` times the area or volume of one.
        ``equivalent_diameter_um``
            Diameter of the disc or ball of the same area or volume.
        ``axis_major_um``, ``axis_minor_um``, for volumes ``axis_middle_um``
            Axes of the ellipse or ellipsoid with the same second moments.
        ``eccentricity``, ``orientation_deg``
            For planes: see `napari_unetseg.core.measure.object_shape.ellipses`.
        ``extent``
            Fraction of the bounding box that the object fills.
        ``perimeter_um``, ``circularity``; ``surface_um2``, ``sphericity``
            With `outline`. Circularity is 4π area / perimeter², 1 for a disc; sphericity is the
            surface of the ball of the same volume over the object's. Objects of a few pixels can
            exceed 1.
        ``solidity``, ``feret_max_um``, ``feret_min_um``
            With `hull`; for volumes without the last.
        ``skeleton_length_um``, ``branches``, ``end_points``, ``branch_points``
            With `skeleton`. Skeletons end about half a width before the object does.
        ``centroid_z_um``, ``centroid_y_um``, ``centroid_x_um``
            Mean position of the pixels' centres; the first pixel's centre is 0.
        ``first_z`` ... ``last_x``
            Bounding box: first and last index along each axis, both inclusive.
        ``touches_border``
            Whether the object touches the border of the image and may be cut off: it has pixels in
            the first or last row, column or, for volumes, plane.
        ``mean``, ``sd``, ``min``, ``max``, ``sum``, with `median` ``median``
            Intensity, when `image` is given; ``mean_NAME`` and so on for each of several channels
            or images, by name or number. `sd` is the standard deviation of the pixels themselves
            (divided by n).

    Raises
    ------
    InputError
        When `labels` are not integers, have channels, or do not match `image`.

    Notes
    -----
    Reads a plane at a time; memory is that of a plane and a few numbers for each object. `hull` and
    `skeleton` of volumes and `median` keep one time point in memory. About 0.5 s for 9,000 objects
    in 4096×4096 pixels with one channel.
    """
    chosen = options or MeasureOptions()
    labels = _checked(labels)
    chosen = settle_frames(chosen, labels.length("Z"))
    labels = measured_scale(labels, flat=measures_planes(labels, chosen))
    channels = _channels_of(labels, image)
    frames = list_frames(labels, chosen)
    measured = []
    for number, frame in enumerate(frames):
        share = part(progress, number / len(frames), (number + 1) / len(frames))
        measured.append(Measured(labels, channels, frame, chosen, share))
    progress(1.0, "measured")
    lengths = dict(zip(labels.axes, labels.shape, strict=True))
    table = build_columns(labels, channels, chosen, measured, lengths)
    return with_parents(table, labels.parents)


def measure_part(
    labels: Image,
    image: Images = None,
    options: MeasureOptions | None = None,
    *,
    start: Mapping[str, int],
    whole: Mapping[str, int],
) -> Table:
    """Measure objects that lie wholly within a part of a larger image.

    Parameters
    ----------
    labels, image, options
        As in `measure`, for the part.
    start
        Index of the part's first pixel along each axis of the larger image.
    whole
        Length of each axis of the larger image.

    Returns
    -------
    dict of str to ndarray
        The columns of `measure` for these objects in the larger image.
    """
    chosen = options or MeasureOptions()
    labels = _checked(labels)
    chosen = settle_frames(chosen, whole.get("Z", 1))
    labels = measured_scale(labels, flat=measures_planes(labels, chosen))
    channels = _channels_of(labels, image)
    first = np.array([start.get(axis, 0) for axis in "ZYX"])
    measured = []
    for frame in list_frames(labels, chosen):
        objects = Measured(labels, channels, frame, chosen, silent)
        for positions in (objects.origin, objects.low, objects.high):
            positions += first
        measured.append(objects)
    table = build_columns(labels, channels, chosen, measured, whole)
    for axis in "TZ":
        if axis.lower() in table:
            table[axis.lower()] = table[axis.lower()] + start.get(axis, 0)
    if "time_s" in table:
        table["time_s"] = table["t"] * labels.interval
    return table


def _checked(labels: Image) -> Image:
    """Return labels as integers of at least 0."""
    labels = known_labels(label_image(labels, "The labels"))
    if labels.n_channels > 1:
        raise InputError(
            f"Labels have no channels, and these have {labels.n_channels}: "
            f"{labels.list_channels()}. Choose one of them."
        )
    labels = labels.channel(0)
    return labels.with_data(labels.data.astype(np.uint8)) if labels.dtype == bool else labels


def _channels_of(labels: Image, images: Images) -> dict[str, Image]:
    """Return all channels, by the ending of their columns."""
    if images is None:
        return {}
    if isinstance(images, Image):
        return _of_one(labels, images, "", single=True)
    channels: dict[str, Image] = {}
    for name, image in images.items():
        channels |= _of_one(labels, image, name, single=len(images) == 1)
    return channels


def _of_one(labels: Image, image: Image, name: str, *, single: bool) -> dict[str, Image]:
    grey = without_single_axes(image.grey(), f"C{labels.axes}")
    axes = grey.axes.replace("C", "")
    shape = tuple(grey.length(axis) for axis in labels.axes)
    if sorted(axes) != sorted(labels.axes) or shape != labels.shape:
        what = f"the image {name!r}" if name else "the image"
        raise InputError(
            f"The labels ({labels.axes}, {labels.shape}) do not fit {what} ({image.axes}, "
            f"{image.shape}). Give labels of this image."
        )
    n = grey.n_channels
    if n == 1:
        return {"" if single else name: grey.channel(0)}
    named = len(grey.channel_names) == n and len(set(grey.channel_names)) == n
    names = grey.channel_names if named else tuple(map(str, range(n)))
    lead = "" if single or not name else f"{name}_"
    return {f"{lead}{own}": grey.channel(k) for k, own in enumerate(names)}


__all__ = ["Images", "Table", "measure", "measure_part"]
