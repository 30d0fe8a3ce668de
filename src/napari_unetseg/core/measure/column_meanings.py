"""Meanings of the columns of a measurement table, a sentence each."""

_HELP = {
    "t": "Index of the time point.",
    "time": "Seconds since the first time point.",
    "z": "Index of the plane.",
    "label": "The id of the object.",
    "parent": "The id of the mother, of objects from a division; 0 for others.",
    "begin": "First time of the track.",
    "end": "Last time of the track, inclusive.",
    "frames": "Number of times from the first to the last.",
    "duration": "Time from the first to the last.",
    "daughters": "Number of objects that the track became by division.",
    "path": "Length of the path of the centroid.",
    "displacement": "Distance from the first place to the last.",
    "straightness": "Displacement over path: 1 for a straight path.",
    "speed": "Length of the path over the time from first to last, or the number of steps.",
    "pixels": "Number of pixels or voxels.",
    "area": "Area: number of pixels times the area of one pixel.",
    "volume": "Volume: number of voxels times the volume of one voxel.",
    "equivalent_diameter": "Diameter of the disc or ball of the same area or volume.",
    "axis_major": "Longest axis of the ellipse or ellipsoid with the same second moments.",
    "axis_middle": "Middle axis of the ellipsoid with the same second moments.",
    "axis_minor": "Shortest axis of the ellipse or ellipsoid with the same second moments.",
    "eccentricity": "Eccentricity of that ellipse: 0 for a circle, near 1 for elongated objects.",
    "orientation": "Angle from the row axis to the longest axis, counter-clockwise.",
    "extent": "Fraction of the bounding box that the object fills.",
    "perimeter": "Length of the outline, by Crofton's formula.",
    "circularity": "4π area / perimeter²: 1 for a disc.",
    "surface": "Area of the surface, by Crofton's formula.",
    "sphericity": "Surface of the ball of the same volume over the object's surface: 1 for a ball.",
    "solidity": "Fraction of the convex hull that the object fills.",
    "feret_max": "Longest distance between two parallel lines or planes that enclose the object.",
    "feret_min": "Shortest distance between two parallel lines that enclose the object.",
    "skeleton_length": "Length of the skeleton.",
    "branches": "Number of skeleton branches, between end points and branch points.",
    "end_points": "Number of end points of the skeleton.",
    "branch_points": "Number of branch points of the skeleton.",
    "centroid": "Mean position of the pixels; the centre of the first pixel is 0.",
    "first": "First index of the bounding box.",
    "last": "Last index of the bounding box, inclusive.",
    "touches_border": "Whether the object touches the edge of the image and may be cut off.",
    "mean": "Mean intensity.",
    "sd": "Standard deviation of intensities.",
    "min": "Lowest intensity.",
    "max": "Highest intensity.",
    "sum": "Sum of intensities.",
    "median": "Median intensity.",
    "n_nuclei": "Number of nuclei of the cell.",
    "nucleus_to_cell": "Area or volume of the nucleus over that of the cell.",
    "nucleus_to_cytoplasm": "Mean intensity of the nucleus over that of the cytoplasm.",
    "true_count": "Estimated number of true objects, from the reviewed random sample of the Queue "
    "dock; low and high: 95 % confidence.",
    "true_precision": "Fraction of the labelled objects that are correct, from the same sample.",
    "true_missed": "Number of true objects without a label, from the same sample.",
}

COMPARTMENTS = ("cell", "nucleus", "cytoplasm")
"""First words of the columns that are measured in one compartment of a cell."""


def column_meaning(column: str) -> str:
    """Return the meaning of a column, or an empty text if it is not a measurement.

    Examples
    --------
    >>> column_meaning("mean_dapi")
    'Mean intensity.'
    """
    parts = column.split("_")
    starts = ("_".join(parts[:n]) for n in range(len(parts), 0, -1))
    found = next((_HELP[start] for start in starts if start in _HELP), "")
    if found or parts[0] not in COMPARTMENTS:
        return found
    own = column_meaning("_".join(parts[1:]))
    return f"Of the {parts[0]}: {own[:1].lower()}{own[1:]}" if own else ""


def column_kind(column: str) -> str:
    """Return the first word of a measurement, without the compartment it was measured in.

    Examples
    --------
    >>> column_kind("nucleus_centroid_y_um"), column_kind("mean_dapi")
    ('centroid', 'mean')
    """
    first, _, rest = column.partition("_")
    return rest.partition("_")[0] if first in COMPARTMENTS else first


__all__ = ["COMPARTMENTS", "column_kind", "column_meaning"]
