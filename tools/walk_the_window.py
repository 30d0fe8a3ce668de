"""Perform a newcomer's steps in the real window, by clicks and keys, and time every step.

Usage: python tools/walk_the_window.py WALK DATA OUT [WIDTHxHEIGHT]

WALK is nuclei, phase, neurons, folder or docks; DATA is a folder like `shared/data`; OUT gets a
picture after every step, what the walk wrote, and `diary.csv`, with the longest time of each step
in which the window did not answer. The window has 1400x900 points unless told otherwise. Needs a
display, real or virtual.
"""

import csv
import faulthandler
import os
import shutil
import sys
import time
from pathlib import Path

_TOO_LONG = 900
_WALKS = ("nuclei", "phase", "neurons", "folder", "docks")


def main(walk: str, data: Path, out: Path, size: str) -> None:
    # A walk that hangs dumps its stack.
    faulthandler.dump_traceback_later(_TOO_LONG, exit=True)
    # As after a fresh installation: without the user's settings.
    os.environ["NAPARI_CONFIG"] = str(out / "settings" / "napari.yaml")
    begun = time.perf_counter()
    import napari
    from window import walks
    from window.person import Person, Step

    out.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer()
    viewer.window.resize(*map(int, size.split("x")))
    person = Person(viewer, out)
    with person.step("start napari"):
        person.rest(300)
    person.diary.append(person.diary.pop()._replace(seconds=time.perf_counter() - begun))
    if walk == "nuclei":
        walks.nuclei(person, sorted((data / "nuclei_fluo_cc0" / "images").iterdir())[0], out)
    elif walk == "phase":
        walks.nuclei(person, sorted((data / "phase_cells_mit" / "images").iterdir())[0], out)
    elif walk == "docks":
        walks.docks(person, sorted((data / "nuclei_fluo_cc0" / "images").iterdir())[0])
    elif walk == "neurons":
        walks.neurons(person, sorted((data / "neurons_rgb_cc0" / "images").iterdir())[0])
    else:
        place = out / "plate"
        place.mkdir(exist_ok=True)
        for path in sorted((data / "nuclei_fluo_cc0" / "images").iterdir())[:12]:
            shutil.copy(path, place)
        walks.folder(person, place)
    with (out / "diary.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([Step._fields, *person.diary])
    print("seconds  longest gap  clicks")
    for step in person.diary:
        took = f"{step.seconds:5.1f} s {1000 * step.gap:8.0f} ms {step.clicks:3}"
        print(f"{took}  {step.name:28} {step.message}")
    print(f"{person.clicks} clicks")
    viewer.close()


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5) or sys.argv[1] not in _WALKS:
        sys.exit(__doc__)
    walk, data, out, size = [*sys.argv[1:], "1400x900"][:4]
    main(walk, Path(data), Path(out), size)
