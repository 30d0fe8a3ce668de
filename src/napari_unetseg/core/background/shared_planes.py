"""Which planes of an image share one surface, and reading them to fit it."""

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

_SAMPLED = 3  # surfaces that the terms are chosen from; fields of one series are lit alike


@dataclass(frozen=True)
class Group:
    """The planes that share one surface.

    Parameters
    ----------
    at
        Position along the axes that have a surface each, such as ``{"C": 1}``.
    planes
        Position of each plane along all axes other than Y and X.
    heights
        Position of each plane along z in a volume; all 0 otherwise.
    """

    at: Mapping[str, int]
    planes: tuple[Index, ...]
    heights: tuple[int, ...]


def exclusion_of(grey: Image, exclude: Any) -> Any:
    """Return the excluded pixels as an array of the image's shape that takes no memory.

    Parameters
    ----------
    grey
        An image without colour.
    exclude
        Nonzero where a pixel is an object, numpy or dask; or nothing.

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


def groups_of(grey: Image, per: Per) -> list[Group]:
    """Say which planes share a surface.

    Parameters
    ----------
    grey
        An image without colour.
    per
        ``"plane"``: none do. ``"stack"``: all of a channel. ``"volume"``: those along Z, in a
        surface that changes along it.

    Raises
    ------
    InputError
        When a volume is asked for and there is no Z.
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
    """Read the planes of a group, all pixels once; see `Scene.of`."""
    from napari_unetseg.core.background.fit_surface import SurfacePlanes
    from napari_unetseg.core.background.moments import Plane

    planes = []
    for index in group.planes:
        at = grey.block_slices(index)
        planes.append(Plane(grey.data[at], None if excluded is None else excluded[at]))
    return SurfacePlanes.of(planes, heights=group.heights, progress=progress)


def terms_of_channels(
    grey: Image,
    excluded: Any,
    groups: Sequence[Group],
    given: Terms | None,
    *,
    robust: Robust,
    ndim: int,
    progress: Progress,
) -> dict[int, Terms]:
    """Return the terms of each channel's surfaces.

    Parameters
    ----------
    grey, excluded, groups
        The image, the pixels that do not count, and what shares a surface.
    given
        The terms of all; when nothing, they are chosen: the highest order that the first, the
        middle or the last surface of a channel asks for, so that the surfaces of a series do not
        differ in kind.
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


__all__ = ["Group", "Per", "exclusion_of", "groups_of", "read_scene", "terms_of_channels"]
