"""`run` on images larger than memory: by itself, killed on the way, and what it will cost."""

import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from napari_unetseg.cli import main
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, write_image
from napari_unetseg.core.progress import silent
from napari_unetseg.core.recipe import Batch, read_recipe
from napari_unetseg.core.streaming import large_images as files

RECIPE = """\
format: napari-unetseg recipe
version: 1
background: {terms: plane}
threshold: {result: objects, split: true, fill_holes: true}
measurement: {}
"""
LITTLE = ("--memory", "0.000001")


@pytest.fixture
def place(tmp_path, monkeypatch):
    smooth = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal((400, 390)), 3)
    image = Image.of((3000 + 300 * smooth / smooth.std()).astype(np.uint16), "YX")
    write_image(tmp_path / "image.zarr", image)
    (tmp_path / "r.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*more):
    return main(["run", "r.yaml", "image.zarr", "-o", *more])


def rows(path):
    return path.read_text().splitlines()


def test_blocks_give_the_files_of_a_run_at_once(place, capsys) -> None:
    assert run("once") == 0
    assert run("blocks", *LITTLE) == 0
    once, blocks = (
        read_image(place / name).asarray()
        for name in ("once/labels/image.tif", "blocks/labels/image.zarr")
    )
    np.testing.assert_array_equal(blocks, once)
    assert rows(place / "blocks/tables/image.csv") == rows(place / "once/tables/image.csv")
    assert rows(place / "blocks/measurements.csv") == rows(place / "once/measurements.csv")
    assert f"{once.max():,} objects" in capsys.readouterr().out
    assert run("blocks", *LITTLE, "--resume") == 0
    assert "kept" in capsys.readouterr().out


def test_what_does_not_fit_in_memory_goes_block_by_block(place, capsys, monkeypatch) -> None:
    monkeypatch.setattr(files, "allowed", lambda memory: 1000)
    assert run("out") == 0
    complaint = capsys.readouterr().err
    assert "does not fit in memory" in complaint
    assert re.search(r"note: In all, this takes about \d+ s, .* of disk while it runs", complaint)
    assert (place / "out/labels/image.zarr").is_dir()


def test_a_run_for_which_the_disk_is_too_small_is_told_so(place, monkeypatch) -> None:
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1))
    batch = Batch(read_recipe(place / "r.yaml"), (place / "image.zarr",), place / "new" / "out")
    assert files.expected_cost(batch, batch.inputs, silent).endswith(
        ", more than the 1 bytes that are free"
    )


def test_an_estimate_that_fails_stops_nothing(place, tmp_path) -> None:
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    batch = Batch(read_recipe(place / "r.yaml"), (tmp_path / "broken.tif",), tmp_path / "out")
    assert files.expected_cost(batch, batch.inputs, silent) == ""


def test_a_coarser_level(place) -> None:
    assert run("out", "--level", "1") == 0
    assert read_image(place / "out/labels/image.tif").shape == (200, 195)
    assert run("out", "--level", "9") == 2


def test_the_cost_is_told_and_nothing_written(place, capsys) -> None:
    assert run("out", "--estimate") == 0
    said = capsys.readouterr().out
    assert "image.zarr: about" in said
    assert "of memory" in said
    assert "1 blocks" in said
    assert not (place / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_run_goes_on_where_it_was(place) -> None:
    assert run("whole", *LITTLE) == 0
    command = [sys.executable, "-m", "napari_unetseg.cli", "run", "r.yaml", "image.zarr"]
    done = place / "killed/labels/.image.zarr.unfinished/done"
    kept = set()
    for stage, enough in (("pixels", 20), ("numbers", 5)):
        process = subprocess.Popen(
            [*command, "-o", "killed", *LITTLE, "--resume"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 300
        while len(list((done / stage).glob("*.npz"))) < enough and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        now = {(path, path.stat().st_mtime_ns) for path in done.glob("*/*.npz")}
        assert kept <= now  # what was done is not done again
        kept = now
    assert run("killed", *LITTLE, "--resume") == 0
    for level in (0, 1):
        expected, found = (
            read_image(place / f"{name}/labels/image.zarr", level=level).asarray()
            for name in ("whole", "killed")
        )
        np.testing.assert_array_equal(found, expected)
    assert rows(place / "killed/tables/image.csv") == rows(place / "whole/tables/image.csv")
    assert os.listdir(place / "killed/labels") == ["image.zarr"]
