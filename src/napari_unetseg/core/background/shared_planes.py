"""Groups of planes that share one surface, their reading, and the choice of their terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unetseg.core.background.one_sided import Ignored, choose_side
from napari_unetseg.core.background.polynomial import Terms
from napari_unetseg.core.background.term_choice import choose_terms
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image, Index
from napari_unetseg.core.progress import Progress, part

if TYPE_CHECKING:
    from napari_unetseg.core.background.fit_surface import SurfacePlanes

Per = Literal["plane", "stack", "volume"]
Robust = Literal["auto", "none", "bright", "dark", "both"]

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


@dataclass(frozen=True)
class FitChoice:
    """The terms of the surfaces of a channel, and the objects that their fits ignore."""

    terms: Terms
    ignored: Ignored


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


def choose_fits(
    grey: Image,
    excluded: Any,
    groups: Sequence[Group],
    candidates: Sequence[Terms],
    *,
    robust: Robust,
    ndim: int,
    progress: Progress,
) -> dict[int, FitChoice]:
    """Choose the terms of each channel's surfaces, and the objects to ignore.

    All surfaces of a channel have the same, so that a series is treated alike.

    Parameters
    ----------
    grey, excluded, groups
        The image, the pixels to ignore, and the groups of planes that share a surface.
    candidates
        The surfaces to choose from, simplest first. One is chosen per channel: the last of those
        chosen for its first, middle and last surface.
    robust
        Which objects to ignore; ``"auto"`` to choose, by a majority of the same surfaces.
    ndim
        3 to let the surface change along z.
    progress
        Called at every step.
    """
    channels = sorted({group.at.get("C", 0) for group in groups})
    given = candidates[0] if len(candidates) == 1 else None
    if given is not None and robust != "auto":
        return dict.fromkeys(channels, FitChoice(given, Ignored(robust)))
    choices = {}
    for done, channel in enumerate(channels):
        alike = [group for group in groups if group.at.get("C", 0) == channel]
        picked = np.unique(np.linspace(0, len(alike) - 1, _SAMPLED).round().astype(int))
        share = part(progress, done / len(channels), (done + 1) / len(channels))
        scenes = [
            read_scene(
                grey,
                excluded,
                alike[at],
                part(share, 0.2 * k / len(picked), 0.2 * (k + 1) / len(picked)),
            )
            for k, at in enumerate(picked.tolist())
        ]
        ignored = (
            _common([choose_side(scene.blocks(), scene.shape, given, ndim) for scene in scenes])
            if robust == "auto"
            else Ignored(robust)
        )
        terms = given
        if terms is None:
            listen = part(share, 0.2, 1)
            found = [
                choose_terms(
                    scene,
                    ignored.side,
                    candidates,
                    progress=part(listen, number / len(scenes), (number + 1) / len(scenes)),
                )
                for number, scene in enumerate(scenes)
            ]
            terms = candidates[max(found)]
        choices[channel] = FitChoice(terms, ignored)
    return choices


def _common(found: Sequence[Ignored]) -> Ignored:
    """Return the side that most surfaces have, the first among equals."""
    sides = [one.side for one in found]
    side = max(sides, key=sides.count)
    return Ignored(side, all(one.certain for one in found if one.side == side))


__all__ = [
    "FitChoice",
    "Group",
    "Per",
    "Robust",
    "broadcast_exclusion",
    "choose_fits",
    "group_planes",
    "read_scene",
]
