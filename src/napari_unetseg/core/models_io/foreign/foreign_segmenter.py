"""`ForeignSegmenter`: a network of others behind the seam that everything else sees."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.foreign.engines import Engine
from napari_unetseg.core.models_io.foreign.fixed_windows import Side, Window, windows_of
from napari_unetseg.core.models_io.foreign.foreign_description import SPACE, Tensor
from napari_unetseg.core.models_io.foreign.output_meaning import Head
from napari_unetseg.core.models_io.foreign.processing_steps import FittedSteps
from napari_unetseg.core.objects.decoders import DecoderSpec

Sizes = tuple[int, ...]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ForeignSegmenter:
    """A foreign network as a `Segmenter`.

    Parameters
    ----------
    engine
        Runs the network.
    image, result
        Its input, and the output that is used.
    number
        Place of that output among the outputs.
    post
        Postprocessing with its statistics.
    head
        What the result means; nothing to get its numbers as they are.
    flips
        Predict every mirror image as well and take the mean.
    """

    engine: Engine
    image: Tensor
    result: Tensor
    number: int
    post: FittedSteps
    head: Head | None
    flips: bool = False
    sides: tuple[Side, ...] = field(init=False)

    def __post_init__(self) -> None:
        pairs = zip(self.image.space, self.result.space, strict=True)
        object.__setattr__(self, "sides", tuple(Side.of(a, b) for a, b in pairs))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; of the network's channels where there is no head."""
        if self.head is not None:
            return self.head.classes
        return self.result.channel_names or tuple(map(str, range(self.result.n_channels)))

    @property
    def n_channels(self) -> int:
        """Channels of the image."""
        return self.image.n_channels

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.sides)

    @property
    def halo(self) -> Sizes:
        """How many pixels beyond a tile may change the result in it, per axis."""
        return tuple(side.halo for side in self.sides)

    @property
    def multiple(self) -> Sizes:
        """What the place and the sides of a block must divide by, per axis."""
        return tuple(side.multiple for side in self.sides)

    @property
    def border(self) -> Sizes:
        """How far the image is mirrored beyond its edges, per axis."""
        return self.halo

    @property
    def decoder(self) -> DecoderSpec | None:
        """What the maps mean."""
        return None if self.head is None else self.head.decoder

    def predict_proba(self, block: Floats, *, origin: Sizes, shape: Sizes) -> Floats:
        """Return the probability of each class in each pixel; see `Segmenter`."""
        return self.predict_maps(block, origin=origin, shape=shape)[: len(self.classes)]

    def predict_maps(self, block: Floats, *, origin: Sizes, shape: Sizes) -> Floats:
        """Return the probability of each class, then the maps; see `ObjectSegmenter`."""
        out: Floats | None = None
        for windows in windows_of(self.sides, origin, block.shape[1:], shape):
            shown = block[(slice(None), *(slice(w.start, w.stop) for w in windows))]
            found = self._meant(self._all_ways(shown))
            if out is None:
                out = np.zeros((len(found), *block.shape[1:]), np.float32)
            _put(out, found, windows)
        if out is None:
            raise InputError(f"A block of {block.shape[1:]} is too small for the network.")
        return out

    def run(self, array: NDArray[Any]) -> Floats:
        """Return the network's numbers of (C, *spatial), all of them, as (K, *spatial)."""
        kinds = self.image.kinds
        order = "c" + SPACE[-self.ndim :]
        # From (C, z, y, x) to the order of the input, its other axes being of one pixel.
        present = [kind for kind in kinds if kind in order]
        if "c" not in kinds:
            array, order = array[0], order[1:]
        laid = array.transpose([order.index(kind) for kind in present])
        at = tuple(slice(None) if kind in present else None for kind in kinds)
        outputs = self.engine.run(np.ascontiguousarray(laid[at], np.float32))
        if self.number >= len(outputs):
            raise InputError(f"The network gives {len(outputs)} result(s), fewer than described.")
        return self._channels_first(outputs[self.number])

    def _channels_first(self, found: NDArray[Any]) -> Floats:
        kinds, order = self.result.kinds, "c" + SPACE[-self.ndim :]
        if found.ndim != len(kinds):
            raise InputError(
                f"The network gives an array of {found.ndim} axes where {len(kinds)} are described."
            )
        for axis in reversed([k for k, kind in enumerate(kinds) if kind not in order]):
            found = found.take(0, axis)
        left = [kind for kind in kinds if kind in order]
        if "c" not in left:
            found, left = found[None], ["c", *left]
        laid = found.transpose([left.index(kind) for kind in order])
        if len(laid) != self.result.n_channels:
            raise InputError(
                f"The network gives {len(laid)} channels where {self.result.n_channels} are "
                "described."
            )
        return np.ascontiguousarray(laid, np.float32)

    def _all_ways(self, shown: Floats) -> Floats:
        axes = range(1, 1 + self.ndim) if self.flips else ()
        views = [v for n in range(len(axes) + 1) for v in itertools.combinations(axes, n)]
        total: Any = sum(np.flip(self.run(np.flip(shown, view)), view) for view in views)
        return np.asarray(total / np.float32(len(views)), np.float32)

    def _meant(self, numbers: Floats) -> Floats:
        with np.errstate(all="ignore"):
            done = np.asarray(self.post(numbers), np.float32)
            return done if self.head is None else self.head.apply(done)


def _put(out: Floats, found: Floats, windows: tuple[Window, ...]) -> None:
    """Write what is to be kept of a window's result, which may be smaller than the window."""
    places: list[slice] = []
    taken: list[slice] = []
    for window, have, length in zip(windows, found.shape[1:], out.shape[1:], strict=True):
        lost = window.stop - window.start - have
        if lost < 0:
            raise InputError(
                f"The network makes {have} pixels of {window.stop - window.start}. Only networks "
                "whose result has the image's pixels can be used."
            )
        start = window.start + lost // 2
        first, last = max(window.first, start, 0), min(window.last, start + have, length)
        places.append(slice(first, max(last, first)))
        taken.append(slice(first - start, max(last, first) - start))
    out[(slice(None), *places)] = found[(slice(None), *taken)]


__all__ = ["ForeignSegmenter"]
