"""Long computations in another thread, with progress, Cancel and Stop."""

import time
from collections.abc import Callable
from typing import Any, Protocol

from napari.qt.threading import FunctionWorker, create_worker
from qtpy.compat import isalive
from qtpy.QtCore import QObject, QThreadPool, QTimer, Signal

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Cancelled, StopEarly


class Reporter(Protocol):
    """A `Progress` that can also pass intermediate results to the window."""

    def __call__(self, fraction: float, message: str = "", /) -> None: ...

    def show(self, thing: object) -> None:
        """Pass an intermediate result to the window: a point of a curve, a preview."""


Work = Callable[[Reporter], Any]
"""A computation that takes a reporter and returns its result; it holds no layers."""

# More frequent reports cost time without being visible.
_SECONDS_BETWEEN_REPORTS = 0.05

_SOON_MS = 300

_THREADS = 16
"""Computations at a time. Qt allows one per core: two runs would keep all previews waiting."""

_NO_GUESS_SECONDS, _NO_GUESS_SHARE = 3.0, 0.03


def time_left(fraction: float, seconds: float) -> str:
    """Return how much longer a run takes, as in ``"about 20 s left"``; empty at its beginning.

    Parameters
    ----------
    fraction
        The part that is done.
    seconds
        Since the run began.
    """
    if seconds < _NO_GUESS_SECONDS or not _NO_GUESS_SHARE < fraction < 1:
        return ""
    left = seconds * (1 - fraction) / fraction
    if left > 90:
        return f"about {left / 60:.0f} min left"
    return f"about {max(5 * round(left / 5), 5)} s left"


class _Signals(QObject):
    started = Signal()
    finished = Signal()
    _finished = Signal(object)
    returned = Signal(object)
    errored = Signal(object)
    warned = Signal(tuple)
    # napari's task manager records a worker with a signal of this name as cancelled.
    aborted = Signal()
    progressed = Signal(float, str)
    shown = Signal(object)


class _Worker(FunctionWorker):
    """The worker of a `Task`, which turns `Progress` calls into signals and exceptions."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.signals = _Signals()
        self._compute = work
        self._stop_requested = False
        self._last_report = 0.0

    def stop(self) -> None:
        self._stop_requested = True

    def run(self) -> None:
        try:
            super().run()
        except RuntimeError:
            # The application ended and deleted the signals before this thread ended.
            if isalive(self.signals):  # type: ignore[no-untyped-call]
                raise

    def work(self) -> Any:
        try:
            return self._compute(self)
        except Cancelled:
            self.quit()
            self.signals.aborted.emit()
            return None

    def show(self, thing: object) -> None:
        self.signals.shown.emit(thing)

    def __call__(self, fraction: float, message: str = "", /) -> None:
        if self.abort_requested:
            raise Cancelled
        if self._stop_requested:
            raise StopEarly
        now = time.monotonic()
        if now - self._last_report >= _SECONDS_BETWEEN_REPORTS or fraction >= 1:
            self._last_report = now
            self.signals.progressed.emit(float(fraction), message)


class _NamedWork:
    """A computation with a name, which napari shows where it asks whether to wait for it.

    It is called once and let go of, with all the arrays it holds: napari keeps every worker until
    the window is closed.
    """

    def __init__(self, work: Work, name: str) -> None:
        self._work, self._name = [work], name

    def __call__(self, report: Reporter) -> Any:
        return self._work.pop()(report)

    def __str__(self) -> str:
        return self._name


class Task(QObject):
    """A computation in another thread, controlled from the window's thread.

    Parameters
    ----------
    work
        The computation.
    name
        Name of it for the user.

    Signals
    -------
    progressed(float, str)
        The fraction done and a message, at most twenty times a second.
    shown(object)
        An intermediate result.
    returned(object)
        The result; not sent after `cancel`.
    refused(object)
        An `InputError`: there was nothing to do, or something that the user can fix.
    failed(object)
        Any other exception: a defect, to show and raise.
    finished()
        Always sent last.

    All are delivered in the thread that made the task.
    """

    progressed = Signal(float, str)
    shown = Signal(object)
    returned = Signal(object)
    refused = Signal(object)
    failed = Signal(object)
    finished = Signal()

    def __init__(
        self, work: Work, parent: QObject | None = None, *, name: str = "a computation"
    ) -> None:
        super().__init__(parent)
        self._worker: _Worker | None = create_worker(
            _NamedWork(work, name), _worker_class=_Worker, _start_thread=False, _ignore_errors=True
        )
        self._worker.progressed.connect(self._on_progressed)
        self._worker.shown.connect(self._on_shown)
        self._worker.returned.connect(self._on_returned)
        self._worker.errored.connect(self._on_errored)
        self._worker.finished.connect(self._on_finished)
        # A closed dock deletes the task; its thread must end too.
        self.destroyed.connect(self._worker.quit)
        self._cancelled = False

    @property
    def running(self) -> bool:
        """Whether the computation has not ended yet."""
        return self._worker is not None

    def start(self) -> None:
        """Start the computation."""
        pool = QThreadPool.globalInstance()
        if self._worker is not None and pool is not None:
            pool.setMaxThreadCount(max(pool.maxThreadCount(), _THREADS))
            self._worker.start()

    def cancel(self) -> None:
        """Abandon the computation; only `finished` is still sent."""
        self._cancelled = True
        if self._worker is not None:
            self._worker.quit()

    def stop(self) -> None:
        """Ask the computation to end now with the best result so far."""
        if self._worker is not None:
            self._worker.stop()

    def _on_progressed(self, fraction: float, message: str) -> None:
        if not self._cancelled:
            self.progressed.emit(fraction, message)

    def _on_shown(self, thing: object) -> None:
        if not self._cancelled:
            self.shown.emit(thing)

    def _on_returned(self, result: object) -> None:
        if not self._cancelled:
            self.returned.emit(result)

    def _on_errored(self, error: Exception) -> None:
        if self._cancelled:
            return
        if isinstance(error, InputError):
            self.refused.emit(error)
        else:
            self.failed.emit(error)

    def _on_finished(self) -> None:
        self._worker = None
        self.finished.emit()


class Latest(QObject):
    """A runner of one computation at a time, always the latest request.

    For previews: while one runs, newer requests replace each other and the last of them runs
    next. The result of an outdated request is dropped.

    Signals
    -------
    answered(object)
        The result of the latest request.
    refused(object)
        The `InputError` of the latest request.
    idle()
        Nothing is computed any more, and nothing is pending.
    """

    answered = Signal(object)
    refused = Signal(object)
    idle = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._task: Task | None = None
        self._next: Work | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON_MS)
        self._soon.timeout.connect(self._start)

    @property
    def busy(self) -> bool:
        """Whether a result is pending."""
        return self._task is not None

    def ask(self, work: Work) -> None:
        """Request the result of `work`, dropping all earlier requests."""
        self._next = work
        if self._task is None:
            self._start()
        else:
            self._task.cancel()

    def ask_soon(self, work: Work) -> None:
        """Request the result of `work` after the window was drawn.

        For imports and compilation when a page is shown: Python runs one thread at a time, so
        starting at once would delay the page.
        """
        self._next = work
        self._soon.start()

    def forget(self) -> None:
        """Drop all requests."""
        self._next = None
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        if self._task is not None or self._next is None:
            return
        work, self._next = self._next, None
        self._task = Task(work, self)
        self._task.returned.connect(self.answered)
        self._task.refused.connect(self.refused)
        self._task.failed.connect(self._on_failed)
        self._task.finished.connect(self._on_finished)
        self._task.start()

    def _on_failed(self, error: Exception) -> None:
        raise error

    def _on_finished(self) -> None:
        if self._task is not None:
            self._task.deleteLater()
        self._task = None
        self._start()
        if self._task is None:
            self.idle.emit()
