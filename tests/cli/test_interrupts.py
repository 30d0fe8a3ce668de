"""Ctrl-C ends a command at once, and nothing half-written remains."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from napari_unetseg.cli.watch_training import TrainingWatcher
from napari_unetseg.core import atomic_files

STUCK = """
import hashlib, sys
from napari_unetseg.cli.interrupts import end_interrupted, watch_interrupts
from napari_unetseg.core.atomic_files import writing

watch_interrupts()
try:
    with writing(sys.argv[1]) as draft:
        draft.mkdir()
        print("ready", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # an hour, in which no signal is seen
except KeyboardInterrupt:  # the signal came just before
    end_interrupted()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a signal cannot be sent to one process")
def test_ctrl_c_ends_compiled_code(tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, out / "labels.zarr"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "ready\n"
    assert len(os.listdir(out)) == 1
    process.send_signal(signal.SIGINT)
    _, complained = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complained == "error: Interrupted; unfinished results are not written.\n"
    # Where the interrupt came just before the loop, the new folder is gone, too.
    assert not out.exists() or os.listdir(out) == []


def test_the_first_ctrl_c_of_a_training_does_not_end_it():
    watcher = TrainingWatcher(lambda fraction, status: None, lines=False)
    watcher.keep()
    watcher.interrupt()
    assert [watcher.is_last_interrupt() for _ in range(2)] == [False, True]
    assert TrainingWatcher(lambda fraction, status: None, lines=False).is_last_interrupt()


def test_a_file_is_not_moved_while_drafts_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_files, "_moving", lock := threading.Lock())
    monkeypatch.setattr(atomic_files, "_temporary", set())
    (tmp_path / "old").write_text("old")
    with atomic_files.writing(tmp_path / "a.txt") as draft:
        draft.write_text("half")
        atomic_files.remove_unfinished()
        assert lock.locked()
        lock.release()
        assert sorted(os.listdir(tmp_path)) == ["old"]
        draft.parent.mkdir()
        draft.write_text("whole")
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "old"]
