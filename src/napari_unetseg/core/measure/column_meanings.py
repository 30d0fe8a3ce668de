"""What the columns of a table mean, in a sentence each."""

_HELP = {
    "t": "Index of the time point.",
    "z": "Index of the plane.",
    "label": "The id of the object.",
    "pixels": "How many pixels or voxels.",
    "area": "Pixels times the area of one.",
    "volume": "Voxels times the volume of one.",
    "equivalent_diameter": "Of the disc or ball of that area or volume.",
    "axis_major": "Longest axis of the ellipse of the same second moments.",
    "axis_middle": "Middle axis of the ellipsoid of the same second moments.",
    "axis_minor": "Shortest axis of the ellipse of the same second moments.",
    "eccentricity": "Of that ellipse: 0 of a circle, towards 1 the longer it is.",
    "orientation": "From the axis of rows to the longest axis, counter-clockwise.",
    "extent": "Share of the bounding box that is filled.",
    "perimeter": "Length of the outline, by Crofton's formula.",
    "circularity": "4π area / perimeter²: 1 of a disc.",
    "surface": "Area of the surface, by Crofton's formula.",
    "sphericity": "Surface of the ball of that volume over the object's: 1 of a ball.",
    "solidity": "Share of the convex hull that is filled.",
    "feret_max": "Longest distance between two parallels that hold the object.",
    "feret_min": "Shortest distance between two parallels that hold the object.",
    "skeleton_length": "Length of the centre lines.",
    "branches": "Stretches of the skeleton between ends and forks.",
    "end_points": "Free ends of the skeleton.",
    "branch_points": "Forks of the skeleton.",
    "centroid": "Mean position of the pixels; the centre of the first pixel is 0.",
    "first": "First index of the bounding box.",
    "last": "Last index of the bounding box, inside.",
    "touches_border": "Whether the edge of the image cuts it off, or may.",
    "mean": "Mean intensity.",
    "sd": "Standard deviation of the intensities.",
    "min": "Smallest intensity.",
    "max": "Largest intensity.",
    "sum": "Sum of the intensities.",
    "median": "Median intensity.",
    "true_count": "True objects, estimated from the reviewed random sample of the Queue dock; low "
    "and high: 95 % confidence.",
    "true_precision": "Share of the labelled objects that are one, from the same sample.",
    "true_missed": "True objects without a label, from the same sample.",
}


def meaning_of(column: str) -> str:
    """Return what a column means; nothing for one that is not of a measurement.

    Examples
    --------
    >>> meaning_of("mean_dapi")
    'Mean intensity.'
    """
    parts = column.split("_")
    starts = ("_".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((_HELP[start] for start in starts if start in _HELP), "")


__all__ = ["meaning_of"]
