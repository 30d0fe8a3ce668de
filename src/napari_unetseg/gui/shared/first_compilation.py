"""Compilation of all kernels in a process of its own, once per installed version."""

import atexit
import contextlib
import sys
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QProcess
from qtpy.QtWidgets import QApplication

from napari_unetseg.compile_kernels import COMPILED_SETTINGS, made_by
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.settings import read_settings, write_settings
from napari_unetseg.gui.shared.user_models import beside_settings

# Without -P, Python would import modules that happen to lie in the current folder.
_COMMAND = ("-P", "-m", "napari_unetseg.compile_kernels")
_END_MS = 10_000
_MESSAGE = (
    "UNet Segmentation compiles its code in the background, once after installation. Until this "
    "is done, in about two minutes, the first use of a tool takes some seconds longer."
)


def compile_once(viewer: Any) -> None:
    """Start to compile every kernel in another process, unless that was done for this version.

    Nothing waits for it, and it ends with the application. If it fails, kernels are compiled when
    they are first used, and the next window tries again.
    """
    app = QApplication.instance()
    path, current = beside_settings(COMPILED_SETTINGS), made_by()
    if app is None or app.findChild(QProcess, COMPILED_SETTINGS) or read_settings(path) == current:
        return
    process = QProcess(app)
    process.setObjectName(COMPILED_SETTINGS)
    process.setStandardOutputFile(QProcess.nullDevice())
    process.setStandardErrorFile(QProcess.nullDevice())

    def finished(code: int, status: QProcess.ExitStatus) -> None:
        if status == QProcess.ExitStatus.NormalExit and code == 0:
            with contextlib.suppress(InputError):
                write_settings(path, current)

    def end() -> None:
        if isalive(process):  # type: ignore[no-untyped-call]
            process.kill()
            # On a busy machine even a kill takes a while.
            process.waitForFinished(_END_MS)

    process.finished.connect(finished)
    app.aboutToQuit.connect(end)
    # A script may end without Qt's loop, which alone announces the end. After the import of Qt, and
    # so called before Qt's objects are destroyed.
    atexit.register(end)
    process.start(sys.executable, _COMMAND)
    viewer.status = _MESSAGE


__all__ = ["compile_once"]
