"""Windows and programs that save one project at once: each save is whole, or refused.

``PROJECT_RACES=200 pytest tests/core/project/test_two_savers.py`` runs as many races.
"""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.project import (
    Contents,
    LabelsItem,
    ProjectFolder,
    SavedElsewhereError,
)
from napari_unetseg.core.project import project_folder as folder_module

RACES = int(os.environ.get("PROJECT_RACES", "12"))

LAYERS = 3


def contents_of(values, versions=None):
    return Contents(
        labels=tuple(
            LabelsItem(
                key=f"layer-{k}",
                name=f"Layer {k}",
                labels=np.full((60, 60), value, np.int32),
                table={"value": np.array([value])},
                version=None if versions is None else versions[k],
            )
            for k, value in enumerate(values)
        )
    )


def values_of(contents):
    assert not contents.missing
    values = [int(item.labels[0, 0]) for item in contents.labels]
    assert all(
        (item.labels == value).all() for item, value in zip(contents.labels, values, strict=True)
    )
    assert values == [int(item.table["value"][0]) for item in contents.labels]
    return values


SAVE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("these_tests", sys.argv[1])
these = importlib.util.module_from_spec(spec)
spec.loader.exec_module(these)
these.save_when_told(int(sys.argv[2]))
"""


def save_when_told(number):
    """Open each project named on standard input, change one layer, and save at the next line."""
    for line in sys.stdin:
        folder = ProjectFolder(line.strip())
        found = folder.open()
        values = values_of(found)
        labels = list(found.labels)
        values[number] += 100
        labels[number] = contents_of(values).labels[number]
        os.write(1, b"ready\n")
        sys.stdin.readline()
        try:
            folder.save(replace(found, labels=tuple(labels)))
            os.write(1, b"saved\n")
        except InputError as error:
            os.write(1, f"refused {error}\n".encode())


@pytest.fixture
def savers():
    command = [sys.executable, "-c", SAVE, __file__]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([*command, str(k)], **pipes) for k in range(2)]
    yield processes
    for process in processes:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def tell(processes, line):
    for process in processes:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    return [process.stdout.readline().strip() for process in processes]


def test_of_two_processes_that_save_at_once_one_is_refused(tmp_path, savers):
    for race in range(RACES):
        path = tmp_path / f"p{race}"
        ProjectFolder(path).save(contents_of([1, 2, 3]))
        assert tell(savers, path) == ["ready", "ready"]
        told = tell(savers, "now")
        said = [line.partition(" ")[0] for line in told]
        assert sorted(said) == ["refused", "saved"], told
        winner = said.index("saved")
        expected = [1, 2, 3]
        expected[winner] += 100
        folder = ProjectFolder(path)
        assert values_of(folder.open()) == expected
        assert "another window" in told[1 - winner]
        # Nothing of the refused one is left.
        listed = {".lock", "project.json", *folder._last.files}
        files = {file for file in path.rglob("*") if file.is_file()}
        assert {file.relative_to(path).as_posix() for file in files} == listed


def test_a_project_that_is_being_saved_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "PATIENCE", 0.05)
    folder = ProjectFolder(tmp_path / "p")
    folder.save(contents_of([1, 2, 3]))
    with (
        FileLock(tmp_path / "p" / ".lock"),
        pytest.raises(InputError, match="is being saved by another window"),
    ):
        folder.save(contents_of([4, 5, 6]))
    assert values_of(ProjectFolder(tmp_path / "p").open()) == [1, 2, 3]
    folder.save(contents_of([4, 5, 6]))
    assert values_of(ProjectFolder(tmp_path / "p").open()) == [4, 5, 6]


def test_a_project_of_another_window_is_not_replaced(tmp_path):
    ProjectFolder(tmp_path / "p").save(contents_of([1, 2, 3]))
    with pytest.raises(SavedElsewhereError, match="is a project already"):
        ProjectFolder(tmp_path / "p").save(contents_of([4, 5, 6]))
    assert values_of(ProjectFolder(tmp_path / "p").open()) == [1, 2, 3]


@pytest.mark.parametrize("is_new", [True, False])
def test_a_full_disk_leaves_nothing_of_a_save(tmp_path, monkeypatch, is_new):
    path = tmp_path / "new" / "p"
    folder = ProjectFolder(path)
    if not is_new:
        folder.save(contents_of([1, 2, 3]))
    before = sorted(tmp_path.rglob("*"))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(folder_module, "_write_through", full)
        with pytest.raises(InputError, match="disk is full"):
            folder.save(contents_of([4, 5, 6]))
    left = [place for place in sorted(tmp_path.rglob("*")) if place not in before]
    assert [place.name for place in left if place.is_file()] == []
    folder.save(contents_of([4, 5, 6]))
    assert values_of(ProjectFolder(path).open()) == [4, 5, 6]


def test_files_of_others_stay(tmp_path):
    folder = ProjectFolder(tmp_path / "p")
    folder.save(contents_of([1, 2, 3]))
    mine = tmp_path / "p" / "labels" / "my drawing.tif"
    mine.write_text("x")
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter-1.json").write_text("years of work")
    if hasattr(os, "symlink"):
        (tmp_path / "p" / "history").symlink_to(thesis)
        (tmp_path / "p" / "models").symlink_to(tmp_path / "p" / "models")
    folder.save(contents_of([4, 5, 6]))
    assert mine.exists()
    assert (thesis / "chapter-1.json").exists()
    assert len(list((tmp_path / "p" / "labels").iterdir())) == 4
    assert values_of(ProjectFolder(tmp_path / "p").open()) == [4, 5, 6]


NAMES = ["", " ", "a/b", "..", "CON", "nul.tif", "x" * 5000, "\udcff.tif", "a\x00b", "\n", "=1+1"]


@pytest.mark.parametrize("name", NAMES)
def test_layers_of_any_name_come_back(tmp_path, name):
    path = tmp_path / "p"
    contents = contents_of([1])
    ProjectFolder(path).save(replace(contents, labels=(replace(contents.labels[0], name=name),)))
    found = ProjectFolder(path).open()
    assert values_of(found) == [1]
    assert found.labels[0].name == name.replace("\udcff", "\\udcff")
    assert all(Path(file).name == file for file in os.listdir(path))
