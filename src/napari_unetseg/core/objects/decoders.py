"""What a network of objects says besides foreground, and what it should have said.

Foreground alone does not tell touching objects apart. So the network says one thing more of each
pixel, a *map* of numbers from 0 to 1, made here from the true objects to learn from, and turned
here into heights that rise from the edge of every object towards its middle. `decode` floods them.

A map belongs to an object and not to its surroundings: mirrored, turned, bent or cut into patches
along with the image, it stays true. So it is made once, from whole objects.
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
"""Ways to tell touching objects apart."""

SPLIT_DEPTH = 0.15
"""How deep a pass must be to be cut, on the scale of heights, when nothing better is known."""

RIM = 2.0
"""Breadth of the rim that is boundary, in pixels of the network's resolution."""


class Decoder(Protocol):
    """One way to tell touching objects apart."""

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each map."""

    @property
    def core(self) -> float:
        """Share of an object's peak from which heights say whose a pixel is.

        Lower ones are in a rim, where heights say nothing: the nearest object takes it.
        """

    def targets(self, ids: Ids, *, spacing: Sequence[float] = (), pixel: float = 1.0) -> Floats:
        """Return what the maps of true objects are.

        Parameters
        ----------
        ids
            (*spatial), 0 is background. Objects that the border of the image cuts off have no
            edge there.
        spacing
            Physical size of a pixel along each axis.
        pixel
            Pixels of `ids` to a side of the smallest thing the network can see.

        Returns
        -------
        array (maps, *spatial), float32, from 0 to 1
        """

    def heights(self, foreground: Floats, maps: Floats) -> Floats:
        """Return what is to be flooded: (*spatial), 0 at edges to 1 in the middle of objects.

        Parameters
        ----------
        foreground
            (*spatial): probability that a pixel belongs to any object.
        maps
            (maps, *spatial), as `targets` or as a network says. Every pixel by itself.
        """


class DecoderSpec(Options):
    """How a model tells touching objects apart: what its outputs after the foreground mean."""

    decoding: Decoding = option(
        "distance",
        "Objects by",
        "What the network says of each pixel besides foreground: how far it is from its object's "
        "edge, as a share of the most, or whether it is at the edge.",
    )
    split_depth: float = option(
        SPLIT_DEPTH,
        "Waist",
        "How deep the pass between two objects must be to be cut: what suited those held out from "
        "the training best.",
        gt=0.0,
        lt=1.0,
    )

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each map."""
        return self.decoder.names

    @property
    def n_maps(self) -> int:
        """How many numbers the network says of each pixel besides foreground."""
        return len(self.names)

    @property
    def n_outputs(self) -> int:
        """How many numbers the network says of each pixel: foreground first, then the maps."""
        return 1 + self.n_maps

    @property
    def decoder(self) -> Decoder:
        """What makes and reads the maps."""
        return DECODERS[self.decoding]


class Distance:
    """The distance to the object's own edge, as a share of the largest in it."""

    names = ("distance",)
    core = 0.0

    def targets(self, ids: Ids, *, spacing: Sequence[float] = (), pixel: float = 1.0) -> Floats:
        """Return the share of each pixel's distance; see `Decoder`."""
        distance, most = edge_distances(ids, spacing)
        share = np.divide(distance, np.maximum(most, 1e-6), dtype=np.float32)
        return share[None]

    def heights(self, foreground: Floats, maps: Floats) -> Floats:
        """Return the share of the distance; see `Decoder`."""
        return maps[0]


class Boundary:
    """Whether a pixel is in the rim of an object, towards another or the background."""

    names = ("boundary",)
    core = 0.5

    def targets(self, ids: Ids, *, spacing: Sequence[float] = (), pixel: float = 1.0) -> Floats:
        """Return 1 in the rim, which never takes more than half the way in; see `Decoder`."""
        distance, most = edge_distances(ids, spacing)
        rim: Floats = (distance < np.minimum(RIM * pixel, 0.5 * most)).astype(np.float32)
        return rim[None]

    def heights(self, foreground: Floats, maps: Floats) -> Floats:
        """Return the probability of being inside and not in a rim; see `Decoder`."""
        return foreground * (1 - maps[0])


DECODERS: dict[str, Decoder] = {"distance": Distance(), "boundary": Boundary()}


def edge_distances(ids: Ids, spacing: Sequence[float] = ()) -> tuple[Floats, Floats]:
    """Return the distance of each pixel to the edge of its object, and the largest in its object.

    Parameters
    ----------
    ids
        (*spatial), 0 is background.
    spacing
        Physical size of a pixel along each axis.

    Returns
    -------
    distance, most : arrays (*spatial), float32
        From the middle of a pixel, in the smallest of `spacing`; 0 in the background. The border
        of the image is no edge. Of an object without any, all pixels are equally far.
    """
    import edt

    steps = tuple(spacing) or (1.0,) * ids.ndim
    shares = tuple(step / min(steps) for step in steps)
    objects = ids > 0
    if not objects.any():
        return np.zeros(ids.shape, np.float32), np.zeros(ids.shape, np.float32)
    labels = np.ascontiguousarray(ids, np.int32).view(np.uint32)
    distance: Floats = edt.edt(labels, anisotropy=shares, black_border=False)
    # The middle of a pixel is half a pixel nearer to the edge than to the pixel beyond it.
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
