"""How long it takes until something can be done: imports, and opening each dock in napari.

    python benchmarks/bench_startup.py [--rounds 5] [--docks Workbench Train ...]

Every import and every dock runs in a Python of its own, its modules compiled before as those of an
installed package are. A dock is opened with an image in view, once napari itself is ready and has
opened a dock that is not ours. Counted is the time of the clock, of the processor in the window's
thread, and of the clock from closing it to having it again; the least of the rounds of each. Needs
a display, a virtual one will do.
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
    """Return what a program in a Python of its own prints last."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def titles() -> list[str]:
    """Return the names of the docks, as the manifest has them."""
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-unetseg")
    return [widget.display_name for widget in manifest.contributions.widgets or ()]


def least(rounds: list[list[float]]) -> str:
    """Return the least of each time, in milliseconds, as cells."""
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
