"""Inputs of tiles are kept within bounds, and come back from disk as they were."""

import numpy as np
import pytest

from napari_unetseg.core.compute import tile_cache
from napari_unetseg.core.compute.coarse_maps import CoarseMaps, MixedInputs
from napari_unetseg.core.compute.tile_cache import TileCache
from napari_unetseg.core.errors import InputError

EACH = 4 * (2 * 8 * 8 + 3 * 4 * 4)


def tile(seed: int) -> MixedInputs:
    rng = np.random.default_rng(seed)
    coarse = CoarseMaps(rng.random((3, 4, 4), np.float32), (2, 2), (0.5, 0.5))
    return MixedInputs(rng.random((2, 8, 8), np.float32), (coarse,), 1)


def test_costly_tiles_come_back_from_disk_and_others_do_not() -> None:
    cache = TileCache(2 * EACH, 2 * EACH)
    for k in range(4):
        cache.keep(k, tile(k), costly=k > 0)
    assert cache.n_bytes == 2 * EACH
    assert cache.n_bytes_on_disk == EACH
    assert cache.get(0) is None
    again = cache.get(1)
    assert again is not None
    np.testing.assert_array_equal(again.whole(), tile(1).whole())
    assert again.coarse[0].first == (0.5, 0.5)
    assert (again.at, cache.n_bytes, cache.n_bytes_on_disk) == (1, 2 * EACH, 2 * EACH)
    # The file of 1 is still there, and the oldest file leaves for a new one.
    cache.keep(5, tile(5), costly=True)
    cache.keep(6, tile(6), costly=True)
    assert [k in cache for k in (1, 2, 3, 5, 6)] == [True, False, True, True, True]


def test_one_tile_is_kept_however_large() -> None:
    cache = TileCache(10)
    cache.keep("a", tile(0), costly=True)
    cache.keep("b", tile(1), costly=True)
    assert ("a" in cache, "b" in cache, cache.n_bytes_on_disk) == (False, True, 0)


def test_a_full_disk_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise InputError("The disk is full.")

    monkeypatch.setattr(tile_cache, "Scratch", full)
    cache = TileCache(EACH, 10 * EACH)
    for k in range(3):
        cache.keep(k, tile(k), costly=True)
    assert [k in cache for k in range(3)] == [False, False, True]
