"""Measure the start-up time: imports, and opening each dock in napari.

    python benchmarks/bench_startup.py [--rounds 5] [--docks Workbench Train ...]

Every import and every dock runs in its own Python process, with modules compiled beforehand as in
an installed package. A dock is opened with an image in view, after napari itself is ready and has
opened another dock. The table gives the wall time, the processor time of the window's thread, and
the wall time of opening it again; each is the minimum of the rounds. Needs a display, real or
virtual.
"""

import argparse
import json
import os
import subprocess
import sys

IMPORTS = {
    "numpy": "import numpy",
    "napari_unetseg": "import napari_unetseg",
    "threshold, from Python": "from napari_unetseg.core.threshold import threshold",
    "napari": "import napari",
    "torch": "import torch",
}

IMPORTING = """
import json, time
wall, spent = time.perf_counter(), time.process_time()
{statement}
print(json.dumps([time.perf_counter() - wall, time.process_time() - spent]))
"""

OPENING = """
import json, time
import napari
import numpy as np
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer()
viewer.add_image(np.random.default_rng(0).integers(0, 255, (512, 512), np.uint8))
# What napari itself does the first time that any dock is opened does not count.
from magicgui.widgets import Label
viewer.window.add_dock_widget(Label(value="ready"), name="ready")
for _ in range(20):
    QApplication.processEvents()
found = []
for _ in range(2):
    wall, spent = time.perf_counter(), time.thread_time()
    dock, _ = viewer.window.add_plugin_dock_widget("napari-unetseg", TITLE)
    QApplication.processEvents()
    found += [time.perf_counter() - wall, time.thread_time() - spent]
    viewer.window.remove_dock_widget(dock)
print(json.dumps(found[:3]))
viewer.close()
"""


def timed(program: str) -> object:
    """Run a program in its own Python process and return its last printed line."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def titles() -> list[str]:
    """Return the names of the docks from the manifest."""
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-unetseg")
    return [widget.display_name for widget in manifest.contributions.widgets or ()]


def least(rounds: list[list[float]]) -> str:
    """Format the minimum of each time, in milliseconds, as cells."""
    return " | ".join(f"{1000 * min(times):.0f}" for times in zip(*rounds, strict=True))


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("--rounds", type=int, default=5)
    asking.add_argument("--docks", nargs="*", help="all of them when not said")
    asked = asking.parse_args()
    print("| what | clock, ms | processor, ms | again, ms |\n|---|--:|--:|--:|")
    for name, statement in IMPORTS.items():
        program = IMPORTING.format(statement=statement)
        times = least([timed(program) for _ in range(asked.rounds)])
        print(f"| import: {name} | {times} | |", flush=True)
    for name in titles() if asked.docks is None else asked.docks:
        program = OPENING.replace("TITLE", repr(name))
        times = least([timed(program) for _ in range(asked.rounds)])
        print(f"| dock: {name} | {times} |", flush=True)


if __name__ == "__main__":
    main()
