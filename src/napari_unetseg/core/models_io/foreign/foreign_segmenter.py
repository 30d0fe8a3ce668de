"""Define `ForeignSegmenter`: a foreign network behind the common segmenter interface."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.foreign.engines import Engine
from napari_unetseg.core.models_io.foreign.fixed_windows import Side, Window, block_windows
from napari_unetseg.core.models_io.foreign.foreign_description import SPACE, Tensor
from napari_unetseg.core.models_io.foreign.output_meaning import Head
from napari_unetseg.core.models_io.foreign.processing_steps import FittedSteps
from napari_unetseg.core.objects.decoders import DecoderSpec

Sizes = tuple[int, ...]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ForeignSegmenter:
    """Run a foreign network as a `Segmenter`.

    Parameters
    ----------
    engine
        Runs the network.
    image, result
        Its input, and the output that is used.
    number
        Index of that output among the outputs.
    post
        Postprocessing with its statistics.
    head
        The meaning of the result; None to return its raw numbers.
    flips
        Also predict every mirror image and take the mean.
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
        """Names of the classes, or of the network's channels if there is no head."""
        if self.head is not None:
            return self.head.classes
        return self.result.channel_names or tuple(map(str, range(self.result.n_channels)))

    @property
    def n_channels(self) -> int:
        """Number of image channels."""
        return self.image.n_channels

    @property
    def ndim(self) -> int:
        """Number of spatial axes: 2 or 3."""
        return len(self.sides)

    @property
    def halo(self) -> Sizes:
        """Pixels around a tile that may change its result, per axis."""
        return tuple(side.halo for side in self.sides)

    @property
    def multiple(self) -> Sizes:
        """Number that offset and sides of a block must be a multiple of, per axis."""
        return tuple(side.multiple for side in self.sides)

    @property
    def border(self) -> Sizes:
        """Width of the mirrored border around the image, per axis."""
        return self.halo

    @property
    def decoder(self) -> DecoderSpec | None:
        """The meaning of the object maps."""
        return None if self.head is None else self.head.decoder

    def predict_proba(self, block: Floats, *, origin: Sizes, shape: Sizes) -> Floats:
        """Predict the probability of each class in each pixel; see `Segmenter`."""
        return self.predict_maps(block, origin=origin, shape=shape)[: len(self.classes)]

    def predict_maps(self, block: Floats, *, origin: Sizes, shape: Sizes) -> Floats:
        """Predict the probability of each class, then the maps; see `ObjectSegmenter`."""
        out: Floats | None = None
        for windows in block_windows(self.sides, origin, block.shape[1:], shape):
            window_pixels = block[(slice(None), *(slice(w.start, w.stop) for w in windows))]
            window_maps = self._postprocessed(self._average_flips(window_pixels))
            if out is None:
                out = np.zeros((len(window_maps), *block.shape[1:]), np.float32)
            _put(out, window_maps, windows)
        if out is None:
            raise InputError(
                f"A block of {block.shape[1:]} is too small for the network. Choose a larger tile."
            )
        return out

    def run(self, array: NDArray[Any]) -> Floats:
        """Run the network on (C, *spatial) and return all its output channels, (K, *spatial)."""
        kinds = self.image.kinds
        order = "c" + SPACE[-self.ndim :]
        # From (C, z, y, x) to the axis order of the input; its other axes have length 1.
        present = [kind for kind in kinds if kind in order]
        if "c" not in kinds:
            array, order = array[0], order[1:]
        transposed = array.transpose([order.index(kind) for kind in present])
        at = tuple(slice(None) if kind in present else None for kind in kinds)
        outputs = self.engine.run(np.ascontiguousarray(transposed[at], np.float32))
        if self.number >= len(outputs):
            raise InputError(
                f"The network returns {len(outputs)} result(s), fewer than described. Get it again."
            )
        return self._channels_first(outputs[self.number])

    def _channels_first(self, output: NDArray[Any]) -> Floats:
        kinds, order = self.result.kinds, "c" + SPACE[-self.ndim :]
        if output.ndim != len(kinds):
            raise InputError(
                f"The network returns an array of {output.ndim} axes, not {len(kinds)} as "
                "described."
            )
        for axis in reversed([k for k, kind in enumerate(kinds) if kind not in order]):
            output = output.take(0, axis)
        kept_axes = [kind for kind in kinds if kind in order]
        if "c" not in kept_axes:
            output, kept_axes = output[None], ["c", *kept_axes]
        ordered = output.transpose([kept_axes.index(kind) for kind in order])
        if len(ordered) != self.result.n_channels:
            raise InputError(
                f"The network returns {len(ordered)} channels where {self.result.n_channels} are "
                "described."
            )
        return np.ascontiguousarray(ordered, np.float32)

    def _average_flips(self, window_pixels: Floats) -> Floats:
        axes = range(1, 1 + self.ndim) if self.flips else ()
        views = [v for n in range(len(axes) + 1) for v in itertools.combinations(axes, n)]
        total: Any = sum(np.flip(self.run(np.flip(window_pixels, view)), view) for view in views)
        return np.asarray(total / np.float32(len(views)), np.float32)

    def _postprocessed(self, numbers: Floats) -> Floats:
        with np.errstate(all="ignore"):
            done = np.asarray(self.post(numbers), np.float32)
            return done if self.head is None else self.head.apply(done)


def _put(out: Floats, result: Floats, windows: tuple[Window, ...]) -> None:
    """Write the valid part of a window's result, which may be smaller than the window."""
    target: list[slice] = []
    source: list[slice] = []
    for window, size, length in zip(windows, result.shape[1:], out.shape[1:], strict=True):
        lost = window.stop - window.start - size
        if lost < 0:
            raise InputError(
                f"The network returns {size} pixels for {window.stop - window.start}. Only "
                "networks whose result has the image's pixel size can be used."
            )
        start = window.start + lost // 2
        first, last = max(window.first, start, 0), min(window.last, start + size, length)
        target.append(slice(first, max(last, first)))
        source.append(slice(first - start, max(last, first) - start))
    out[(slice(None), *target)] = result[(slice(None), *source)]


__all__ = ["ForeignSegmenter"]
