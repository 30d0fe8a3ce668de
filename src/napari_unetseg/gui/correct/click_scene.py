"""Layers of the clicked objects: the image below the labels, its plane, and protected pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_unetseg.core.corrections import Change, LabelsView, ObjectBoxes
from napari_unetseg.core.corrections.locked_pixels import Box, PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.prompts.prompt import Mask, Point, ProposedObject, pixel_of
from napari_unetseg.gui.correct.click_state import Candidate, Plane
from napari_unetseg.gui.shared.data_versions import data_version
from napari_unetseg.gui.shared.layer_locks import LayerLocks
from napari_unetseg.gui.shared.layers import (
    channel_choice,
    image_of,
    index_along,
    is_input,
    is_report,
    plane_index,
    put_channels_first,
)
from napari_unetseg.gui.train.fine_tune_layers import source_layer

Window = tuple[slice, slice]
"""Rows and columns of a plane."""

ImageKey = tuple[object, ...]
"""A key of a plane of an image layer that changes with its pixels, axes and channels."""

_OFF = 0.5
"""Pixels by which image and labels may lie apart."""


def may_be_clicked(layer: Layer) -> bool:
    """Whether a layer is an image to find objects in."""
    return isinstance(layer, ImageLayer) and is_input(layer) and not is_report(layer)


def likely_image(layers: Any, labels: Labels) -> Layer | None:
    """Return the image that labels are of: the one they were made from, or the topmost to fit."""
    shown = [layer for layer in reversed(layers) if may_be_clicked(layer) and layer.visible]
    hidden = [layer for layer in reversed(layers) if may_be_clicked(layer) and not layer.visible]
    offered = [*filter(None, [source_layer(layers, labels)]), *shown, *hidden]
    fitting = (one for one in offered if may_be_clicked(one) and not misfit_of(one, labels, layers))
    return next(fitting, None)


def misfit_of(image: Layer, labels: Labels, layers: Any) -> str:
    """Return the reason why labels do not lie pixel by pixel on an image, or ``""``."""
    try:
        plane = image_of(image)
    except InputError as error:
        return str(error)
    sides, wanted = (plane.length("Y"), plane.length("X")), tuple(labels.data.shape[-2:])
    if sides != wanted:
        return (
            f"{image.name!r} has planes of {sides[0]} x {sides[1]} pixels and {labels.name!r} of "
            f"{wanted[0]} x {wanted[1]}. Choose the image that the labels are of."
        )
    if not put_channels_first(image, layers):
        return f"The channels of {image.name!r} come after its rows. Split them into layers first."
    if not _together(image, labels, sides):
        return (
            f"{image.name!r} and {labels.name!r} lie at different places: their scale, position or "
            "rotation differ. Choose the image that the labels are of."
        )
    return ""


def _together(image: Layer, labels: Layer, sides: tuple[int, int]) -> bool:
    """Whether the corners of the planes of two layers coincide."""
    step = float(np.abs(labels.scale[-2:]).min()) or 1.0
    for corner in ((0, 0), (sides[0] - 1, 0), (0, sides[1] - 1)):
        at = [
            np.asarray(layer.data_to_world((*(0,) * (layer.ndim - 2), *corner)))[-2:]
            for layer in (image, labels)
        ]
        if float(np.abs(at[0] - at[1]).max()) > _OFF * step:
            return False
    return True


def plane_on_screen(viewer: Any, image: Layer) -> tuple[ImageKey, Image]:
    """Return the plane of an image that the viewer shows, unread, with all its channels."""
    whole = image_of(image)
    axes = whole.axes.replace("C", "") if whole.rgb else whole.axes
    index = index_along(image, axes, plane_index(image, viewer.dims.point))
    lead = iter(zip((axis for axis in axes if axis not in "YX"), index, strict=True))
    at = {axis: min(place, whole.length(axis) - 1) for axis, place in lead if axis != "C"}
    part = tuple(at.get(axis, slice(None)) for axis in whole.axes)
    kept = "".join(axis for axis in whole.axes if axis not in at)
    names = whole.channel_names if "C" in kept else ()
    plane = whole.like(whole.data[part], kept, rgb=whole.rgb, channel_names=names)
    key = (image.unique_id, data_version(image), whole.axes, channel_choice(image), *at.items())
    return key, plane


@dataclass(frozen=True, eq=False)
class Protection:
    """The protected pixels of one plane of labels, as they were at one moment.

    Parameters
    ----------
    labels
        The plane, (Y, X); not a copy.
    plane
        Its index.
    locked
        Locked pixels of the layer.
    spare
        Whether no object is overwritten, even if it is not locked.
    target
        Id of the object that may be entered, or 0.
    """

    labels: NDArray[Any]
    plane: Plane
    locked: PixelSet
    spare: bool
    target: int = 0

    def __call__(self, window: Window) -> Mask:
        """Return which pixels of a window must not be entered."""
        ids = self.labels[window]
        taken = self.locked_in(window)
        others = (ids != 0) & (ids != self.target)
        if not self.spare:
            # An object with a locked pixel is protected as a whole.
            others &= np.isin(ids, np.unique(ids[taken & others]))
        return taken | others

    def locked_in(self, window: Window) -> Mask:
        """Return the locked pixels of a window."""
        at = (*(slice(k, k + 1) for k in self.plane), *window)
        return self.locked.inside(at).reshape(self.labels[window].shape)

    def locks(self, number: int, box: Window | None = None) -> bool:
        """Whether an object of the plane has a locked pixel.

        Parameters
        ----------
        box
            A box around the object, if it is known.
        """
        height, width = self.labels.shape
        place = box or (slice(0, height), slice(0, width))
        return bool((self.labels[place][self.locked_in(place)] == number).any())

    def number_at(self, point: Point) -> int:
        """Return the id at a point, or 0; a point outside has 0."""
        y, x = pixel_of(point)
        height, width = self.labels.shape
        return int(self.labels[y, x]) if 0 <= y < height and 0 <= x < width else 0


def box_in_plane(
    boxes: ObjectBoxes | None, number: int, plane: Plane, labels: NDArray[Any]
) -> Window:
    """Return the box of an object in a plane; searched for if the boxes are not known."""
    if boxes is not None and number in boxes:
        box = boxes.box(number)
        return box[-2], box[-1]
    mask = labels == number
    spans = []
    for axis in (1, 0):
        found = np.flatnonzero(mask.any(axis))
        spans.append(slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0))
    return spans[0], spans[1]


def erased_by(
    proposed: ProposedObject, target: int, guard: Protection, box: Window
) -> tuple[Window, Mask]:
    """Return the pixels that an object loses if it becomes a proposal, in the window of its box."""
    mine = guard.labels[box] == target
    return box, mine & ~proposed.within(box) & ~guard.locked_in(box)


def change_of(
    candidate: Candidate, layer: Labels, number: int, guard: Protection, box: Window | None
) -> tuple[Change, PixelSet]:
    """Return the change that writes a candidate into labels, and pixels it leaves as they are.

    Parameters
    ----------
    number
        Id of the object.
    guard
        The protected pixels now.
    box
        Box of the object that is corrected, or None.

    Raises
    ------
    InputError
        If nothing of the candidate is free any more, or the id is too large for the labels.
    """
    proposed = candidate.proposed
    frame = LabelsView((*candidate.plane, None, None))
    view = frame.view(layer.data)
    if proposed is None or any(
        s.stop > n for s, n in zip(proposed.slices, view.shape, strict=True)
    ):
        raise InputError("The labels have another size now. Esc drops this object.")
    window = proposed.slices
    mask = proposed.mask & ~guard(window)
    for other in np.setdiff1d(view[window][mask], (0, candidate.target)).tolist():
        # Only part of it may be in the window, and its locked pixels elsewhere.
        if guard.locks(other):
            mask &= view[window] != other
    if not mask.any():
        raise InputError("Every pixel of this object is protected now. Esc drops it.")
    changes = [Change.of(view, window, mask, number)]
    if box is not None:
        place, gone = erased_by(proposed, number, guard, box)
        changes.append(Change.of(view, place, gone, 0))
    kept = PixelSet(layer.data.shape)
    same = mask & (view[window] == number)
    whole: Box = frame.box(window)
    kept.add(whole, same.reshape([s.stop - s.start for s in whole]))
    return frame.place(Change.joined(changes, view)), kept


class PlaneGuard:
    """The locked pixels of a layer, copied anew when they changed only.

    Parameters
    ----------
    layer, locks
        The labels and their locked pixels.
    """

    def __init__(self, layer: Labels, locks: LayerLocks) -> None:
        self._layer, self._locks = layer, locks
        self._known: tuple[tuple[int, ...], PixelSet] | None = None

    def of_plane(self, plane: Plane, *, spare: bool, target: int = 0) -> Protection:
        """Return the protected pixels of a plane."""
        state = self._locks.state()
        if self._known is None or self._known[0] != state:
            self._known = (state, self._locks.pixels())
        return Protection(self._layer.data[plane], plane, self._known[1], spare, target)

    def is_there(self, plane: Plane) -> bool:
        """Whether the labels have a plane."""
        lead = self._layer.data.shape[:-2]
        return len(plane) == len(lead) and all(
            0 <= at < n for at, n in zip(plane, lead, strict=True)
        )


__all__ = [
    "ImageKey",
    "PlaneGuard",
    "Protection",
    "Window",
    "box_in_plane",
    "change_of",
    "erased_by",
    "likely_image",
    "may_be_clicked",
    "misfit_of",
    "plane_on_screen",
]
