"""Pixels of a stroke that already carry its label: napari leaves them out of its history.

To draw over them is to confirm them, and where a stroke changes nothing at all, napari does not
even send an event. So the methods that draw are wrapped, layer by layer. napari draws through the
private `_apply_mask_to_data`, and before version 0.8 through the public `data_setitem`, which other
plugins use too. It never fills with the label that is there.
"""

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod, ref

import numpy as np
from napari.layers import Labels

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.gui.shared.undo_history import Approval, one_step, unfinished


def report_confirmed(layer: Labels, confirm: Callable[[PixelSet], None]) -> None:
    """Call a method with the pixels of each stroke on `layer` that already carry its label.

    Parameters
    ----------
    confirm
        A bound method, which is not kept alive. It is called while the step of the stroke is being
        recorded.
    """
    wraps = {"_apply_mask_to_data": _brush, "data_setitem": _pixels, "fill": _bucket}
    there, told = ref(layer), WeakMethod(confirm)
    for name, wrap in wraps.items():
        if hasattr(layer, name):
            real = vars(layer).get(name) or _of_class(there, name)
            setattr(layer, name, wrap(there, told, real))


def _of_class(there: "ref[Labels]", name: str) -> Any:
    """Return a method of a layer that does not keep the layer alive."""

    def call(*given: Any, **named: Any) -> Any:
        layer = there()
        return getattr(type(layer), name)(layer, *given, **named)

    return call


def _brush(there: "ref[Labels]", told: Any, real: Any) -> Any:
    def apply(data: Any, mask: Any, new_label: Any, volume_slice: Any) -> Any:
        layer, confirm = there(), told()
        if layer is None or confirm is None:
            return real(data, mask, new_label, volume_slice)
        same = mask & (data == new_label)
        with one_step(layer):
            painted = real(data, mask, new_label, volume_slice)
            if same.any():
                pixels = PixelSet(layer.data.shape)
                parts = zip(volume_slice, pixels.shape, strict=True)
                pixels.add(tuple(slice(*part.indices(n)[:2]) for part, n in parts), same)
                confirm(pixels)
        return painted

    return apply


def _pixels(there: "ref[Labels]", told: Any, real: Any) -> Any:
    def data_setitem(indices: Any, value: Any, refresh: bool = True) -> None:
        layer, confirm = there(), told()
        if layer is None or confirm is None:
            real(indices, value, refresh)
            return
        same = np.asarray(layer.data[indices] == value)
        with one_step(layer):
            real(indices, value, refresh)
            if same.any():
                pixels = PixelSet(layer.data.shape)
                pixels.add_indices([np.asarray(axis)[same] for axis in indices])
                confirm(pixels)

    return data_setitem


def _bucket(there: "ref[Labels]", told: Any, real: Any) -> Any:
    def fill(coord: Any, new_label: Any, refresh: bool = True) -> None:
        layer, confirm = there(), told()
        if layer is not None and confirm is not None:
            pixels = _filled_already(layer, tuple(np.round(coord).astype(int)), new_label)
            if pixels:
                with one_step(layer):
                    confirm(pixels)
        real(coord, new_label, refresh)

    return fill


def _filled_already(layer: Labels, at: tuple[int, ...], label: int) -> PixelSet | None:
    """Return the pixels that a click would fill, where they have the label already.

    A stroke of the bucket that filled something confirms nothing: the mouse goes on over what was
    just filled, and over what that touches.
    """
    shape = layer.data.shape
    within = all(0 <= x < n for x, n in zip(at, shape, strict=True))
    if not within or np.asarray(layer.data[at]).item() != label:
        return None
    for atom in unfinished(layer):
        if not isinstance(atom, Approval) or atom.pixels.at([np.array([x]) for x in at]).any():
            return None
    from scipy.ndimage import find_objects
    from skimage.segmentation import flood

    free = sorted(layer._slice_input.order[-layer.n_edit_dimensions :])  # noqa: SLF001
    plane = tuple(
        slice(0, n) if k in free else slice(at[k], at[k] + 1) for k, n in enumerate(shape)
    )
    labels = np.asarray(layer.data[plane])
    seed = tuple(x if k in free else 0 for k, x in enumerate(at))
    filled = flood(labels, seed, connectivity=1) if layer.contiguous else labels == label
    (box,) = find_objects(filled.astype(np.uint8))
    pixels = PixelSet(shape)
    where = zip(box, plane, strict=True)
    pixels.add(tuple(slice(s.start + p.start, s.stop + p.start) for s, p in where), filled[box])
    return pixels


__all__ = ["report_confirmed"]
