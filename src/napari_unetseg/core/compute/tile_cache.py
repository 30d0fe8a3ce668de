"""`TileCache`: inputs of tiles by key, the latest used in memory, costly ones also on disk."""

import math
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

import numpy as np

from napari_unetseg.core.compute.coarse_maps import CoarseMaps, MixedInputs
from napari_unetseg.core.compute.scratch_arrays import Scratch
from napari_unetseg.core.errors import InputError


class TileCache:
    """Keep inputs of tiles, within bounds; those used longest ago leave first. Thread-safe.

    Parameters
    ----------
    memory
        Bytes in memory. One tile is kept, however large.
    disk
        Bytes of temporary files, for tiles that take longer to compute than to read. The files
        have no name and disappear with the cache.
    """

    def __init__(self, memory: int, disk: int = 0) -> None:
        self._memory, self._disk = memory, disk
        self._lock = threading.RLock()
        self._tiles: OrderedDict[Hashable, tuple[MixedInputs, bool]] = OrderedDict()
        self._files: OrderedDict[Hashable, _Filed] = OrderedDict()

    @property
    def n_bytes(self) -> int:
        """Bytes in memory."""
        with self._lock:
            return sum(inputs.nbytes for inputs, _ in self._tiles.values())

    @property
    def n_bytes_on_disk(self) -> int:
        """Bytes of temporary files."""
        with self._lock:
            return sum(filed.numbers.nbytes for filed in self._files.values())

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._tiles or key in self._files

    def get(self, key: Hashable) -> MixedInputs | None:
        """Return the inputs of a key, read from disk where they are not in memory; else None."""
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key][0]
            if key not in self._files:
                return None
            self._files.move_to_end(key)
            filed = self._files[key]
        return self.keep(key, filed.read(), costly=True)

    def keep(self, key: Hashable, inputs: MixedInputs, *, costly: bool = False) -> MixedInputs:
        """Keep inputs, and return them.

        Parameters
        ----------
        key, inputs
            Their key, and the inputs, which are not to be changed any more.
        costly
            Whether to write them to disk when they leave the memory.
        """
        with self._lock:
            self._tiles[key] = inputs, costly
            self._tiles.move_to_end(key)
            while len(self._tiles) > 1 and self.n_bytes > self._memory:
                oldest, (leaving, worth) = self._tiles.popitem(last=False)
                if worth and oldest not in self._files:
                    self._write(oldest, leaving)
        return inputs

    def _write(self, key: Hashable, inputs: MixedInputs) -> None:
        """Write inputs to disk, unless there is no room; then they are computed again."""
        if inputs.nbytes > self._disk:
            return
        while self.n_bytes_on_disk + inputs.nbytes > self._disk:
            self._files.popitem(last=False)
        try:
            self._files[key] = _Filed.of(inputs)
        except InputError:
            self._disk = self.n_bytes_on_disk


@dataclass(frozen=True, eq=False)
class _Filed:
    """Inputs in a temporary file: all numbers in a row, the shapes, and the inputs without them."""

    numbers: Scratch
    shapes: tuple[tuple[int, ...], ...]
    inputs: MixedInputs

    @classmethod
    def of(cls, inputs: MixedInputs) -> Self:
        arrays = [inputs.dense, *(maps.values for maps in inputs.coarse)]
        numbers = Scratch([sum(array.size for array in arrays)], np.float32)
        first = 0
        for array in arrays:
            numbers[first : first + array.size] = array.ravel()
            first += array.size
        nothing = np.zeros(0, np.float32)
        coarse = tuple(CoarseMaps(nothing, maps.step, maps.first) for maps in inputs.coarse)
        return cls(numbers, tuple(a.shape for a in arrays), MixedInputs(nothing, coarse, inputs.at))

    def read(self) -> MixedInputs:
        found, first = [], 0
        for shape in self.shapes:
            n = math.prod(shape)
            found.append(self.numbers[first : first + n].reshape(shape))
            first += n
        coarse = tuple(
            CoarseMaps(values, maps.step, maps.first)
            for values, maps in zip(found[1:], self.inputs.coarse, strict=True)
        )
        return MixedInputs(found[0], coarse, self.inputs.at)


__all__ = ["TileCache"]
