"""The process that compiles the kernels once: started when it should be, and never in the way."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from qtpy.QtCore import QProcess
from qtpy.QtWidgets import QApplication

from napari_unetseg.compile_kernels import COMPILED_SETTINGS, made_by
from napari_unetseg.core.settings import read_settings
from napari_unetseg.gui.shared import first_compilation
from napari_unetseg.gui.shared.first_compilation import compile_once


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: Any) -> Path:
    """The file of an empty settings folder, and no process of another test."""
    monkeypatch.setattr(first_compilation, "beside_settings", tmp_path.joinpath)
    for process in QApplication.instance().findChildren(QProcess, COMPILED_SETTINGS):
        process.setObjectName("")
    return tmp_path / COMPILED_SETTINGS


def run(qtbot: Any, monkeypatch: pytest.MonkeyPatch, code: str) -> tuple[str, QProcess]:
    """Start `code` in place of the compilation; return the message and the process that ended."""
    monkeypatch.setattr(first_compilation, "_COMMAND", ("-c", code))
    viewer = SimpleNamespace(status="")
    compile_once(viewer)
    process = QApplication.instance().findChild(QProcess, COMPILED_SETTINGS)
    qtbot.waitUntil(lambda: process.state() == QProcess.ProcessState.NotRunning, timeout=30_000)
    process.setObjectName("")
    return viewer.status, process


def test_a_version_is_compiled_once(
    place: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, _ = run(qtbot, monkeypatch, "pass")
    assert "compiles" in message
    assert read_settings(place) == made_by()
    viewer = SimpleNamespace(status="")
    compile_once(viewer)
    assert QApplication.instance().findChild(QProcess, COMPILED_SETTINGS) is None
    assert viewer.status == ""
    monkeypatch.setattr(first_compilation, "made_by", lambda: {"numba": "another"})
    run(qtbot, monkeypatch, "pass")
    assert read_settings(place) == {"numba": "another"}


def test_two_windows_start_one_process(
    place: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_compilation, "_COMMAND", ("-c", "input()"))
    compile_once(SimpleNamespace())
    compile_once(SimpleNamespace())
    processes = QApplication.instance().findChildren(QProcess, COMPILED_SETTINGS)
    assert len(processes) == 1
    processes[0].kill()
    assert processes[0].waitForFinished(30_000)


def test_a_failure_or_a_kill_is_tried_again(
    place: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(qtbot, monkeypatch, "raise SystemExit(3)")
    assert not place.exists()
    run(qtbot, monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert not place.exists()


def test_settings_that_cannot_be_written_disturb_nothing(
    place: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.parent.joinpath("file").touch()
    monkeypatch.setattr(
        first_compilation, "beside_settings", place.parent.joinpath("file").joinpath
    )
    run(qtbot, monkeypatch, "pass")
    assert not place.exists()


def test_a_python_that_cannot_be_started_disturbs_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(place.parent / "no-python"))
    compile_once(SimpleNamespace())
    assert not place.exists()


_SCRIPT = """
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from qtpy.QtWidgets import QApplication
from napari_unetseg.gui.shared import first_compilation
first_compilation.beside_settings = Path(sys.argv[1]).joinpath
first_compilation._COMMAND = ("-c", "import time; time.sleep(60)")
app = QApplication([])
first_compilation.compile_once(SimpleNamespace())
"""


def test_a_script_that_ends_during_it_ends_it_quietly(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout + ended.stderr == ""
