"""Arrays in temporary files: like arrays in memory, and gone when nobody needs them."""

import gc
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from napari_unetseg.core.compute import scratch_arrays as scratch
from napari_unetseg.core.compute.scratch_arrays import Scratch, ScratchPart, scratch_part, zeros
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def open_files(folder: Path) -> int:
    """Return how many files of a folder are open, those without a name among them."""
    links = Path("/proc/self/fd")
    if not links.is_dir():
        pytest.skip("open files are listed on Linux alone")
    found = 0
    for link in links.iterdir():
        try:
            found += os.readlink(link).startswith(str(folder))
        except OSError:
            continue
    return found


def test_it_reads_and_writes_as_an_array_does(folder) -> None:
    rng = np.random.default_rng(0)
    array, other = np.zeros((3, 40, 50), np.float32), Scratch((3, 40, 50), np.float32)
    for _ in range(20):
        y, x = rng.integers(0, 30, 2)
        box = (int(rng.integers(3)), slice(y, y + 9), slice(x, None))
        numbers = rng.random(array[box].shape, np.float32)
        array[box] = other[box] = numbers
    np.testing.assert_array_equal(other[:], array)
    np.testing.assert_array_equal(other[1:, ..., 3], array[1:, ..., 3])
    np.testing.assert_array_equal(np.asarray(other), array)
    copied = other[0]
    copied[:] = 7
    assert not (other[0] == 7).any()


def test_small_ones_are_in_memory(folder, monkeypatch) -> None:
    assert isinstance(zeros((10, 10), np.uint8), np.ndarray)
    monkeypatch.setattr(scratch, "IN_MEMORY", 99)
    assert isinstance(zeros((10, 10), np.uint8), Scratch)


def test_the_file_goes_with_the_array(folder) -> None:
    held = Scratch((100, 100), np.int32)
    assert open_files(folder) == 1
    held.close()
    assert open_files(folder) == 0
    dropped = Scratch((100, 100), np.int32)
    lazy = Image.of(dropped, "YX")
    del dropped
    gc.collect()
    assert not lazy.asarray().any()
    assert open_files(folder) == 1
    del lazy
    gc.collect()
    assert open_files(folder) == 0
    assert not list(folder.iterdir())


def test_a_full_disk_is_said_beforehand(folder, monkeypatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(scratch.shutil, "disk_usage", lambda place: usage)
    with pytest.raises(InputError, match="set TMPDIR"):
        Scratch((10**4, 10**5), np.float32)
    assert not list(folder.iterdir())


def test_a_part_is_written_in_its_place(folder) -> None:
    for whole in (np.zeros((2, 8, 3, 9), np.int32), Scratch((2, 8, 3, 9), np.int32)):
        part = scratch_part(whole, (1, slice(None), 2, slice(None)))
        assert isinstance(part, ScratchPart) == isinstance(whole, Scratch)
        assert part.shape == (8, 9)
        part[2:4, 5:] = 3
        assert (part[2:4, 5:] == 3).all()
        assert np.count_nonzero(whole[:]) == np.count_nonzero(whole[1, :, 2]) == 8
