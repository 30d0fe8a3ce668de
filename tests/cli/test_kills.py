"""Processes killed at any moment: the files are those of before or of after, and nothing else.

``UNETSEG_KILLS=1000 pytest tests/cli/test_kills.py`` kills as many, at random over all jobs.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import write_image
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.project import ProjectFolder
from napari_unetseg.core.training.train import train

KILLS = int(os.environ.get("UNETSEG_KILLS", "10"))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

RECIPE = """\
format: napari-unetseg recipe
version: 1
background: {terms: plane}
threshold: {result: objects}
measurement: {}
"""

COMMANDS = {
    "background": ("background", "in/0.tif", "-o", "flat.tif", "--surface", "surface.tif"),
    "predict": ("predict", "model.zip", "in", "-o", "predicted"),
    "run": ("run", "r.yaml", "in", "-o", "results", "--resume"),
}

SAVE = """
import os, time
import numpy as np
from napari_unetseg.core.project import Contents, LabelsItem, ProjectFolder
folder, log = ProjectFolder("p"), os.open("log", os.O_WRONLY | os.O_CREAT)
for version in range(1, 100_000):
    labels = np.full((50, 60), version, np.int32)
    item = LabelsItem(
        key="a", name="a", labels=labels, table={"value": np.array([version])}, version=version
    )
    os.write(log, b"s")
    folder.save(Contents(labels=(item,)))
    os.write(log, b"d")
"""

AUTOSAVE = """
import os, time
from pathlib import Path
import numpy as np
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
from napari_unetseg.gui.project.autosave import Autosave
app, viewer = QApplication([]), ViewerModel()
layer, keeper = viewer.add_labels(np.zeros((50, 60), np.int32)), Autosave.of(viewer)
log = os.open("log", os.O_WRONLY | os.O_CREAT)
for version in range(1, 100_000):
    layer.data_setitem(np.nonzero(np.ones((50, 60))), version)
    layer.features = {"index": [version], "value": [version]}
    os.write(log, b"s")
    keeper.save_as(Path("p").resolve()) if version == 1 else keeper.autosave()
    while keeper.busy:
        app.processEvents()
    assert not keeper.problem, keeper.problem
    os.write(log, b"d")
"""

CODE = {"save": SAVE, "autosave": AUTOSAVE}


def tree(place: Path) -> dict[str, bytes]:
    """Return the files of a folder by name, but for hidden ones, with their content."""
    files = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if path.is_file() and not hidden:
            files[name] = path.read_bytes()
    return files


SERVER = """
import json, os, sys, traceback
import napari.components, napari.layers, qtpy.QtWidgets
import napari_unetseg.gui.project.autosave
from napari_unetseg.cli import main
for words in json.loads(sys.argv[1]):
    assert main(words) == 0
os.write(1, b"ready\\n")
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            os.chdir(job["place"])
            exec(job["code"], {"words": job["words"]})
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.write(1, b"%d\\n" % pid)
    os.write(1, b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


class Server:
    """A process that has loaded and compiled everything, and forks one for each job."""

    def __init__(self, place: Path) -> None:
        words = json.dumps([list(words) for words in COMMANDS.values()])
        environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=place,
            env=environment,
        )
        while (line := self.process.stdout.readline()) != "ready\n":
            assert line, "it did not start"

    def start(self, code: str, place: Path, words: tuple[str, ...] = ()) -> int:
        self.process.stdin.write(json.dumps({"code": code, "place": str(place), "words": words}))
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.number()

    def number(self) -> int:
        """Return the next number that the server tells; the lines of commands come between."""
        while not (line := self.process.stdout.readline().strip()).lstrip("-").isdigit():
            assert self.process.poll() is None
        return int(line)


@pytest.fixture(scope="module")
def server(inputs, tmp_path_factory):
    warm = tmp_path_factory.mktemp("warm") / "up"
    shutil.copytree(inputs, warm)
    served = Server(warm)
    yield served
    served.process.stdin.close()
    served.process.wait()
    served.process.stdout.close()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    place, rng = tmp_path_factory.mktemp("inputs"), np.random.default_rng(0)
    for number in range(3):
        noise = np.kron(rng.random((8, 8)), np.ones((10, 10))) + 0.1 * rng.random((80, 80))
        image = Image.of(noise.astype(np.float32))
        write_image(place / "in" / f"{number}.tif", image)
    labels = (noise > 0.5).astype(np.uint8)
    pair = TrainingPair(image, labels)
    model = train(LogisticSpec(sigmas="1"), [pair], TrainOptions(), name="m", labels_are="mask")
    save(model.model, place / "model.zip")
    (place / "r.yaml").write_text(RECIPE)
    return place


COMMAND = """
from napari_unetseg.cli import main
if main(words):
    raise SystemExit(1)
"""

TIMED = {"results/images.csv", "results/finished.jsonl"}
"""Files that contain how long a run took."""


def untimed(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name not in TIMED}


def kill(
    server: Server, place: Path, words: tuple[str, ...], wait: float, *, writing: bool
) -> bool:
    """Run a command in a process, and kill it a while after it began, or began to write."""
    before = len(list(place.rglob("*")))
    pid = server.start(COMMAND, place, words)
    started = time.monotonic()
    while writing and len(list(place.rglob("*"))) == before and time.monotonic() < started + 20:
        time.sleep(0.0005)
    time.sleep(wait)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return server.number() == -signal.SIGKILL


def age(place: Path) -> None:
    """Make drafts look old, as they are when a person comes back."""
    for path in (*place.rglob(".*/*"), *place.rglob(".*")):
        os.utime(path, (0, 0))


@pytest.mark.parametrize("job", COMMANDS)
def test_a_killed_command_leaves_its_files_whole(job, server, inputs, tmp_path):
    words, rng = COMMANDS[job], np.random.default_rng(1)
    whole = tmp_path / "whole"
    shutil.copytree(inputs, whole)
    before = time.monotonic()
    server.start(COMMAND, whole, words)
    assert server.number() == 0
    lasts, after, n_killed = time.monotonic() - before, untimed(tree(whole)), 0
    for trial in range(KILLS // 5):
        place = tmp_path / f"killed-{trial}"
        shutil.copytree(inputs, place)
        late = trial % 2 == 1
        wait = float(rng.uniform(0, lasts / 8 if late else lasts))
        n_killed += kill(server, place, words, wait, writing=late)
        # Each file is there whole, or not at all.
        for name, content in untimed(tree(place)).items():
            assert after.get(name) == content, name
        # The next run goes on, and clears away what the killed one left.
        age(place)
        server.start(COMMAND, place, words)
        assert server.number() == 0
        assert untimed(tree(place)) == after
        assert not list(place.rglob(".*"))
        shutil.rmtree(place)
    assert n_killed >= KILLS // 20


@pytest.mark.parametrize("job", CODE)
def test_a_killed_save_leaves_the_project_of_before_or_after(job, server, tmp_path):
    rng = np.random.default_rng(2)
    for trial in range(KILLS // 5):
        place = tmp_path / f"killed-{trial}"
        place.mkdir()
        pid, log = server.start(CODE[job], place), place / "log"
        started = time.monotonic()
        while not (log.exists() and b"d" in log.read_bytes()):
            assert time.monotonic() < started + 60, "it did not start"
            time.sleep(0.001)
        time.sleep(float(rng.uniform(0, 0.15)))
        os.kill(pid, signal.SIGKILL)
        assert server.number() == -signal.SIGKILL
        heard = log.read_bytes()
        begun, done = heard.count(b"s"), heard.count(b"d")
        folder = ProjectFolder(place / "p")
        found = folder.open()
        assert not found.missing
        (item,) = found.labels
        version = int(item.labels[0, 0])
        assert done <= version <= begun
        assert (item.labels == version).all()
        assert item.table["value"].tolist() == [version]
        # The next save clears away what the killed one left.
        folder.save(found)
        files = {path.relative_to(place / "p").as_posix() for path in (place / "p").rglob("*")}
        listed = {".lock", "project.json", *folder._last.files}
        assert {name for name in files if (place / "p" / name).is_file()} == listed
        shutil.rmtree(place)
