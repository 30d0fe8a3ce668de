"""Files are replaced whole, together and without leftovers, whatever ends the writing."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unetseg.core import atomic_files
from napari_unetseg.core.atomic_files import check_output, writing, writing_together
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import write_image, write_table
from napari_unetseg.core.settings import MAX_BYTES, read_settings, write_settings
from napari_unetseg.core.streaming.run_folder import RunFolder


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "old.json").write_text("{}")
    noise = Image.of(np.ones((8, 9), np.float32))
    folder = RunFolder(tmp_path / "run")
    folder.begin()
    with monkeypatch.context() as patched:
        patched.setattr(tifffile.TiffWriter, "write", full)
        patched.setattr(Path, "write_text", full)
        patched.setattr(np, "savez", full)
        for act in (
            lambda: write_image(tmp_path / "new/deep/a.tif", noise),
            lambda: write_settings(tmp_path / "old.json", {"a": 1}),
            lambda: folder.mark("pixels", 0, {"a": np.ones(3)}),
        ):
            with pytest.raises(InputError, match="disk is full"):
                act()
    assert tree(tmp_path) == ["old.json", "run"]
    assert (tmp_path / "old.json").read_text() == "{}"


def test_files_of_one_block_are_replaced_together(tmp_path):
    (tmp_path / "a.csv").write_text("old")
    with writing_together():
        write_table(tmp_path / "a.csv", {"n": [1]})
        write_image(tmp_path / "b.tif", Image.of(np.ones((8, 9), np.float32)))
        assert (tmp_path / "a.csv").read_text() == "old"
        assert not (tmp_path / "b.tif").exists()
    assert tree(tmp_path) == ["a.csv", "b.tif"]

    def write_both() -> None:
        with writing_together():
            write_table(tmp_path / "a.csv", {"n": [2]})
            write_image(tmp_path / "c.png", Image.of(np.ones((8, 9), np.float32)))

    with pytest.raises(InputError, match=r"\.png holds"):
        write_both()
    assert tree(tmp_path) == ["a.csv", "b.tif"]
    assert (tmp_path / "a.csv").read_text() == "n\n1\n"
    # Later blocks write each file at once again.
    write_table(tmp_path / "a.csv", {"n": [3]})
    assert (tmp_path / "a.csv").read_text() == "n\n3\n"


HOLD = """
import sys, time
from napari_unetseg.core.atomic_files import writing
with writing(sys.argv[1]) as draft:
    draft.write_text("half")
    print("there", flush=True)
    time.sleep(600)
"""


def test_the_draft_of_a_killed_process_is_removed_and_that_of_a_living_one_is_not(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "a.txt")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline()
            (draft,) = tmp_path.iterdir()
            # A folder of another program, and one that is just being made, are left alone.
            (tmp_path / ".other").mkdir()
            for held in (draft, *tmp_path.rglob("*")):
                os.utime(held, (0, 0))
            just_made = tmp_path / ".b.txt.00000000.draft"
            shutil.copytree(draft, just_made)
            os.utime(just_made / atomic_files._HELD)
            # One that was killed before it had its lock.
            (tmp_path / ".c.txt.00000000.draft").mkdir()
            os.utime(tmp_path / ".c.txt.00000000.draft", (0, 0))

            def write() -> list[str]:
                atomic_files.remove_old_drafts.cache_clear()
                with writing(tmp_path / "b.txt") as path:
                    path.write_text("whole")
                return sorted(path.name for path in tmp_path.iterdir())

            assert write() == sorted([draft.name, just_made.name, ".other", "b.txt"])
        finally:
            holder.kill()
    assert write() == [just_made.name, ".other", "b.txt"]


def test_outputs_are_checked_before_anything_is_written(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "folder.zarr").mkdir()
    check_output(tmp_path / "new/a.tif")
    check_output(tmp_path / "folder.zarr")
    for name, words in (("file/a.tif", "is a file"), ("folder.tif", "is a folder")):
        with pytest.raises(InputError, match=words):
            check_output(tmp_path / name)
    assert not (tmp_path / "new").exists()


def test_settings_that_would_not_be_read_are_not_written(tmp_path):
    write_settings(tmp_path / "s.json", {"a": 1})
    with pytest.raises(InputError, match="at most"):
        write_settings(tmp_path / "s.json", {"a": "x" * MAX_BYTES})
    assert read_settings(tmp_path / "s.json") == {"a": 1}
