"""Work in another thread: progress, cancel, stop, refusal, failure, and only the latest wish."""

import threading
import weakref

import pytest
from qtpy.QtCore import QThread, QThreadPool

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import StopEarly
from napari_unetseg.gui.shared.task import Latest, Task, time_left


class Heard:
    """Everything a task said, and from which thread."""

    def __init__(self, task):
        self.progress, self.results, self.sentences, self.failures = [], [], [], []
        self.threads = set()
        task.progressed.connect(lambda *said: self._hear(self.progress, said))
        task.returned.connect(lambda result: self._hear(self.results, result))
        task.refused.connect(lambda error: self._hear(self.sentences, str(error)))
        task.failed.connect(lambda error: self._hear(self.failures, error))

    def _hear(self, where, what):
        where.append(what)
        self.threads.add(QThread.currentThread())


def run(qtbot, task):
    with qtbot.waitSignal(task.finished, timeout=5000):
        task.start()


def test_a_result_arrives_in_the_threads_of_the_window(qtbot):
    threads = []
    task = Task(lambda progress: threads.append(threading.get_ident()) or 42)
    heard = Heard(task)
    run(qtbot, task)
    assert heard.results == [42]
    assert heard.threads == {QThread.currentThread()}
    assert threads != [threading.get_ident()]
    assert not task.running


@pytest.mark.parametrize("fault", [None, InputError("no"), RuntimeError("no")])
def test_a_worker_that_is_kept_lets_go_of_the_arrays(qtbot, fault):
    class Arrays:
        def __call__(self, progress):
            if fault is not None:
                raise fault

    arrays = Arrays()
    held = weakref.ref(arrays)
    task = Task(arrays)
    worker = task._worker  # napari keeps it until its window is closed
    del arrays
    run(qtbot, task)
    if fault is not None:
        fault.__traceback__ = None
    assert held() is None
    assert worker is not None


def test_progress_is_told(qtbot):
    task = Task(lambda progress: progress(1.0, "counting"))
    heard = Heard(task)
    run(qtbot, task)
    assert heard.progress[-1] == (1.0, "counting")


def endless(started):
    def work(progress):
        while True:
            started.set()
            progress(0.5)

    return work


def test_a_cancelled_task_says_nothing_more(qtbot):
    started = threading.Event()
    task = Task(endless(started))
    heard = Heard(task)
    with qtbot.waitSignal(task.finished, timeout=5000):
        task.start()
        qtbot.waitUntil(started.is_set)
        task.cancel()
    assert heard.results == heard.sentences == heard.failures == []


def test_a_stopped_task_returns_the_best_so_far(qtbot):
    started = threading.Event()

    def work(progress):
        try:
            endless(started)(progress)
        except StopEarly:
            return "best"

    task = Task(work)
    heard = Heard(task)
    with qtbot.waitSignal(task.finished, timeout=5000):
        task.start()
        qtbot.waitUntil(started.is_set)
        task.stop()
    assert heard.results == ["best"]


def test_what_the_user_can_mend_is_a_sentence(qtbot):
    def work(progress):
        raise InputError("Open another file.")

    task = Task(work)
    heard = Heard(task)
    run(qtbot, task)
    assert heard.sentences == ["Open another file."]
    assert heard.failures == []


def test_a_defect_arrives_as_the_exception(qtbot):
    def work(progress):
        raise ZeroDivisionError("by nought")

    task = Task(work)
    heard = Heard(task)
    run(qtbot, task)
    assert [type(error) for error in heard.failures] == [ZeroDivisionError]


def test_runs_on_all_cores_keep_no_preview_waiting(qtbot):
    gate, pool = threading.Event(), QThreadPool.globalInstance()
    before = pool.maxThreadCount()
    pool.setMaxThreadCount(1)
    runs = [Task(lambda progress: gate.wait(60)) for _ in range(3)]
    for run in runs:
        run.start()
    preview = Task(lambda progress: "seen")
    try:
        with qtbot.waitSignal(preview.returned, timeout=10_000) as got:
            preview.start()
        assert got.args == ["seen"]
    finally:
        gate.set()
        qtbot.waitUntil(lambda: not any(run.running for run in (*runs, preview)))
        pool.setMaxThreadCount(before)


@pytest.mark.parametrize("wishes", [2, 9])
def test_only_the_latest_wish_is_answered(qtbot, wishes):
    gate = threading.Event()
    latest = Latest()
    answers = []
    latest.answered.connect(answers.append)

    def wish(number):
        def work(progress):
            gate.wait(5)
            progress(0.5)
            return number

        return work

    for number in range(wishes):
        latest.ask(wish(number))
    gate.set()
    qtbot.waitUntil(lambda: not latest.busy, timeout=5000)
    assert answers == [wishes - 1]


def test_a_forgotten_wish_is_not_answered(qtbot):
    gate = threading.Event()
    latest = Latest()
    answers = []
    latest.answered.connect(answers.append)
    latest.ask(lambda progress: gate.wait(5))
    latest.forget()
    gate.set()
    qtbot.waitUntil(lambda: not latest.busy, timeout=5000)
    assert answers == []


def test_a_computation_has_a_name_for_the_user():
    """The window shows it where it asks whether to wait for the computation."""
    task = Task(print, name="Train (UNet Segmentation)")
    assert str(task._worker._compute) == "Train (UNet Segmentation)"


@pytest.mark.parametrize(
    ("fraction", "seconds", "words"),
    [
        (0.5, 1, ""),
        (0.01, 60, ""),
        (1.0, 60, ""),
        (0.5, 20, "about 20 s left"),
        (0.99, 60, "about 5 s left"),
        (0.1, 60, "about 9 min left"),
    ],
)
def test_the_time_left_is_told_once_it_can_be_guessed(fraction, seconds, words):
    assert time_left(fraction, seconds) == words
