"""End the process within a second of Ctrl-C, even while compiled code runs or a file is read."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

INTERRUPTED = 130
NOTICE = "error: Interrupted; unfinished results are not written."

_GRACE = 0.5  # seconds in which an interrupted command ends by itself


class _Watchdog:
    """End the process if an interrupt has not ended it in time.

    Python raises `KeyboardInterrupt` only between two steps of the interpreter, and waits at its
    end for threads that are still computing; a numba loop or a decoder may take many seconds.
    """

    def __init__(self) -> None:
        self.ends: Callable[[], bool] = _always
        self.told = False

    def watch(self) -> None:
        """Begin to watch for interrupts, if this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        # The thread holds the sockets, which would close if nobody did.
        threading.Thread(target=self._wait, args=(reader, writer), daemon=True).start()

    def _wait(self, reader: socket.socket, writer: socket.socket) -> None:
        while number := reader.recv(1):
            if number[0] == signal.SIGINT and self.ends():
                time.sleep(_GRACE)
                self.end()

    def end(self) -> NoReturn:
        """End the process at once: Python's own end waits for threads and frees all objects."""
        try:
            if not self.told:
                os.write(sys.stderr.fileno(), f"{NOTICE}\n".encode())
            for child in multiprocessing.active_children():
                child.kill()
            if files := sys.modules.get("napari_unetseg.core.atomic_files"):
                files.remove_unfinished()
        finally:
            os._exit(INTERRUPTED)


def _always() -> bool:
    return True


_watchdog = _Watchdog()


def watch_interrupts() -> None:
    """End this process within a second of Ctrl-C; files that are not finished are removed."""
    _watchdog.watch()


def leave_interrupts() -> None:
    """Watch no longer: a window is about to open, in which work may be unsaved."""
    if threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(-1)


def tell_interrupted() -> None:
    """Print that the command was interrupted."""
    sys.stderr.write(f"{NOTICE}\n")
    sys.stderr.flush()


def end_interrupted() -> NoReturn:
    """Print that the command was interrupted, and end this process at once."""
    _watchdog.told = True
    tell_interrupted()
    sys.stdout.flush()
    _watchdog.end()


@contextmanager
def ending_if(ends: Callable[[], bool]) -> Iterator[None]:
    """Ask a function, once for each Ctrl-C, whether it ends the process."""
    _watchdog.ends = ends
    try:
        yield
    finally:
        _watchdog.ends = _always


__all__ = [
    "INTERRUPTED",
    "NOTICE",
    "end_interrupted",
    "ending_if",
    "leave_interrupts",
    "tell_interrupted",
    "watch_interrupts",
]
