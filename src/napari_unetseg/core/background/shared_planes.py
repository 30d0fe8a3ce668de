"""Groups of planes that share one surface, their reading, and the choice of their terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unetseg.core.background.coarse_grid import Robust, choose_order
from napari_unetseg.core.background.polynomial import Terms
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image, Index
from napari_unetseg.core.progress import Progress, part

if TYPE_CHECKING:
    from napari_unetseg.core.background.fit_surface import SurfacePlanes

Per = Literal["plane", "stack", "volume"]

_SAMPLED = (
    3  # surfaces sampled to choose the terms; all fields of a series have similar illumination
)


@dataclass(frozen=True)
class Group:
    """Planes that share one surface.

    Parameters
    ----------
    at
        Position along the axes with separate surfaces, such as ``{"C": 1}``.
    planes
        Index of each plane along all axes other than Y and X.
    heights
        Position of each plane along z in a volume; all 0 otherwise.
    """

    at: Mapping[str, int]
    planes: tuple[Index, ...]
    heights: tuple[int, ...]


def broadcast_exclusion(grey: Image, exclude: Any) -> Any:
    """Broadcast the excluded pixels to the image's shape without using memory.

    Parameters
    ----------
    grey
        An image without colour.
    exclude
        Nonzero where a pixel is an object, numpy or dask; or None.

    Raises
    ------
    InputError
        When its shape is neither the image's nor that of the image's last axes.
    """
    if exclude is None:
        return None
    lazy = hasattr(exclude, "dask")
    mask = exclude if lazy else np.asarray(exclude)
    if mask.ndim > grey.ndim or mask.shape != grey.shape[grey.ndim - mask.ndim :]:
        raise InputError(
            f"The labels to exclude have shape {tuple(mask.shape)}, but the image has "
            f"{grey.shape}. Choose labels made on this image."
        )
    if not lazy:
        return np.broadcast_to(mask, grey.shape)
    import dask.array

    return dask.array.broadcast_to(mask, grey.shape)


def group_planes(grey: Image, per: Per) -> list[Group]:
    """Group the planes that share a surface.

    Parameters
    ----------
    grey
        An image without colour.
    per
        ``"plane"``: a surface per plane. ``"stack"``: one for all planes of a channel.
        ``"volume"``: one for the planes along Z, changing along it.

    Raises
    ------
    InputError
        When a volume is requested for an image without Z.
    """
    loop = [axis for axis in grey.axes if axis not in "YX"]
    if per == "volume" and "Z" not in loop:
        raise InputError(
            f"A volume surface needs an image with a Z axis; this one has {grey.axes}. "
            "Fit one surface for each plane or for the stack."
        )
    own = {"plane": loop, "stack": ["C"], "volume": [axis for axis in loop if axis != "Z"]}[per]
    groups: dict[tuple[tuple[str, int], ...], list[Index]] = {}
    for index in grey.indices():
        at = tuple((axis, k) for axis, k in zip(loop, index, strict=True) if axis in own)
        groups.setdefault(at, []).append(index)
    return [
        Group(
            dict(at),
            tuple(planes),
            tuple(range(len(planes))) if per == "volume" else (0,) * len(planes),
        )
        for at, planes in groups.items()
    ]


def read_scene(grey: Image, excluded: Any, group: Group, progress: Progress) -> "SurfacePlanes":
    """Read the planes of a group, all pixels once; see `SurfacePlanes.of`."""
    from napari_unetseg.core.background.fit_surface import SurfacePlanes
    from napari_unetseg.core.background.moments import Plane

    planes = []
    for index in group.planes:
        at = grey.block_slices(index)
        planes.append(Plane(grey.data[at], None if excluded is None else excluded[at]))
    return SurfacePlanes.of(planes, heights=group.heights, progress=progress)


def choose_terms(
    grey: Image,
    excluded: Any,
    groups: Sequence[Group],
    given: Terms | None,
    *,
    robust: Robust,
    ndim: int,
    progress: Progress,
) -> dict[int, Terms]:
    """Choose the terms of each channel's surfaces.

    Parameters
    ----------
    grey, excluded, groups
        The image, the pixels to ignore, and the groups of planes that share a surface.
    given
        The terms for all channels. When None, they are chosen per channel: the highest order chosen
        for its first, middle or last surface, so that all surfaces of a series have the same terms.
    robust, ndim, progress
        See `napari_unetseg.core.background.coarse_grid.choose_order`.
    """
    channels = sorted({group.at.get("C", 0) for group in groups})
    if given is not None:
        return dict.fromkeys(channels, given)
    terms = {}
    for done, channel in enumerate(channels):
        alike = [group for group in groups if group.at.get("C", 0) == channel]
        picked = np.unique(np.linspace(0, len(alike) - 1, _SAMPLED).round().astype(int))
        share = part(progress, done / len(channels), (done + 1) / len(channels))
        orders = []
        for number, at in enumerate(picked.tolist()):
            listen = part(share, number / len(picked), (number + 1) / len(picked))
            scene = read_scene(grey, excluded, alike[at], part(listen, 0, 0.2))
            orders.append(
                choose_order(
                    scene.grid(),
                    scene.shape,
                    robust,
                    ndim=ndim,
                    progress=part(listen, 0.2, 1),
                )
            )
        terms[channel] = Terms.up_to(max(orders), ndim)
    return terms


__all__ = ["Group", "Per", "broadcast_exclusion", "choose_terms", "group_planes", "read_scene"]
