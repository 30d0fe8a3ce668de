"""Decoders: training targets and outputs of networks that segment objects.

Foreground alone does not separate touching objects. So the network predicts an additional *map* of
values from 0 to 1, which is computed here from the true objects as the training target, and
converted here into heights that rise from the edge of every object towards its middle. `decode`
splits these by watershed.

A map depends on the object and not on its surroundings, so it stays valid when mirrored, rotated,
warped or cut into patches along with the image. So it is computed once, from whole objects.
"""

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.options import Options, option

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]

Decoding = Literal["distance", "boundary"]
"""Names of the decoders."""

SPLIT_DEPTH = 0.15
"""Default depth of a saddle to be cut, on the scale of heights."""

RIM = 2.0
"""Width of the boundary rim, in pixels at the network's resolution."""


class Decoder(Protocol):
    """Method to separate touching objects."""

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each map."""

    @property
    def core(self) -> float:
        """Fraction of an object's peak above which heights decide the object of a pixel.

        Lower heights lie in a rim where they carry no information: these pixels go to the nearest
        object.
        """

    def targets(self, ids: Ids, *, spacing: Sequence[float] = (), pixel: float = 1.0) -> Floats:
        """Compute the target maps of true objects.

        Parameters
        ----------
        ids
            (*spatial), 0 is background. Objects cut off by the border of the image have no edge
            there.
        spacing
            Physical size of a pixel along each axis.
        pixel
            Pixels of `ids` per pixel at the network's resolution, along each side.

        Returns
        -------
        array (maps, *spatial), float32, from 0 to 1
        """

    def heights(self, foreground: Floats, maps: Floats) -> Floats:
        """Return the heights for the watershed: (*spatial), from 0 at edges to 1 in the middle.

        Parameters
        ----------
        foreground
            (*spatial): probability that a pixel belongs to any object.
        maps
            (maps, *spatial), as `targets` or as predicted. Each pixel is converted independently.
        """


class DecoderSpec(Options):
    """Decoder of a model: the meaning of its outputs after the foreground."""

    decoding: Decoding = option(
        "distance",
        "Objects by",
        "Additional output of the network for each pixel besides the foreground: its distance to "
        "the object's edge, relative to the largest in the object, or the probability that it is "
        "at the edge.",
    )

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each map."""
        return self.decoder.names

    @property
    def n_maps(self) -> int:
        """Number of outputs per pixel besides the foreground."""
        return len(self.names)

    @property
    def n_outputs(self) -> int:
        """Number of outputs per pixel: foreground first, then the maps."""
        return 1 + self.n_maps

    @property
    def decoder(self) -> Decoder:
        """The decoder that computes and converts the maps."""
        return DECODERS[self.decoding]


class Distance:
    """Distance decoder: distance to the object's edge, relative to the largest in the object."""

    names = ("distance",)
    core = 0.0

    def targets(self, ids: Ids, *, spacing: Sequence[float] = (), pixel: float = 1.0) -> Floats:
        """Compute the relative distance of each pixel; see `Decoder`."""
        distance, most = edge_distances(ids, spacing)
        share = np.divide(distance, np.maximum(most, 1e-6), dtype=np.float32)
        return share[None]

    def heights(self, foreground: Floats, maps: Floats) -> Floats:
        """Return the relative distance; see `Decoder`."""
        return maps[0]


class Boundary:
    """Boundary decoder: rim of each object, towards another or the background."""

    names = ("boundary",)
    core = 0.5

    def targets(self, ids: Ids, *, spacing: Sequence[float] = (), pixel: float = 1.0) -> Floats:
        """Return 1 in the rim, at most half of the object's radius; see `Decoder`."""
        distance, most = edge_distances(ids, spacing)
        rim: Floats = (distance < np.minimum(RIM * pixel, 0.5 * most)).astype(np.float32)
        return rim[None]

    def heights(self, foreground: Floats, maps: Floats) -> Floats:
        """Return the probability of foreground outside the rims; see `Decoder`."""
        return foreground * (1 - maps[0])


DECODERS: dict[str, Decoder] = {"distance": Distance(), "boundary": Boundary()}


def edge_distances(ids: Ids, spacing: Sequence[float] = ()) -> tuple[Floats, Floats]:
    """Compute the distance of each pixel to the edge of its object, and the maximum per object.

    Parameters
    ----------
    ids
        (*spatial), 0 is background.
    spacing
        Physical size of a pixel along each axis.

    Returns
    -------
    distance, most : arrays (*spatial), float32
        From the pixel's centre, in units of the smallest `spacing`; 0 in the background. The border
        of the image is not an edge. An object without any edge has the same distance everywhere.
    """
    import edt

    steps = tuple(spacing) or (1.0,) * ids.ndim
    shares = tuple(step / min(steps) for step in steps)
    objects = ids > 0
    if not objects.any():
        return np.zeros(ids.shape, np.float32), np.zeros(ids.shape, np.float32)
    labels = np.ascontiguousarray(ids, np.int32).view(np.uint32)
    distance: Floats = edt.edt(labels, anisotropy=shares, black_border=False)
    # The edge is half a pixel nearer than the centre of the first pixel beyond it.
    distance = np.where(objects, np.minimum(distance, math.hypot(*ids.shape) * max(shares)), 0.5)
    distance -= np.float32(0.5)
    most = np.zeros(int(ids.max()) + 1, np.float32)
    np.maximum.at(most, ids[objects], distance[objects])
    return distance, most[ids]


__all__ = [
    "DECODERS",
    "RIM",
    "SPLIT_DEPTH",
    "Boundary",
    "Decoder",
    "DecoderSpec",
    "Decoding",
    "Distance",
    "edge_distances",
]
