"""How long it takes until something can be done: imports, and opening each dock in napari.

    python benchmarks/bench_startup.py [--rounds 5]

Every import runs in a Python of its own. The docks are opened one by one in one window, each with
an image in view; before the first, napari itself is ready. Counted is the time of the processor
as well as that of the clock, the least of the rounds of each. Needs a display, a virtual one will
do.
"""

import argparse
import json
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
found = {}
for title in TITLES:
    wall, spent = time.perf_counter(), time.process_time()
    dock, _ = viewer.window.add_plugin_dock_widget("napari-unetseg", title)
    QApplication.processEvents()
    found[title] = [time.perf_counter() - wall, time.process_time() - spent]
    viewer.window.remove_dock_widget(dock)
print(json.dumps(found))
viewer.close()
"""


def timed(program: str) -> object:
    """Return what a program in a Python of its own prints last."""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def titles() -> list[str]:
    """Return the names of the docks, as the manifest has them."""
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-unetseg")
    return [widget.display_name for widget in manifest.contributions.widgets or ()]


def least(rounds: list[list[float]]) -> str:
    """Return the least of the clock and of the processor, in milliseconds, as cells."""
    wall, spent = (1000 * min(one[k] for one in rounds) for k in range(2))
    return f"{wall:.0f} | {spent:.0f}"


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("--rounds", type=int, default=5)
    asked = asking.parse_args()
    print("| what | clock, ms | processor, ms |\n|---|--:|--:|")
    for name, statement in IMPORTS.items():
        program = IMPORTING.format(statement=statement)
        print(f"| import: {name} | {least([timed(program) for _ in range(asked.rounds)])} |")
    names = titles()
    program = OPENING.replace("TITLES", repr(names))
    opened = [timed(program) for _ in range(asked.rounds)]
    for name in names:
        print(f"| dock: {name} | {least([one[name] for one in opened])} |")


if __name__ == "__main__":
    main()
