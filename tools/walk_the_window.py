"""Perform a newcomer's steps in the real window, by clicks and keys, and time every step.

Usage: python tools/walk_the_window.py WALK DATA OUT

WALK is nuclei, neurons or folder; DATA is a folder like `shared/data`; OUT gets a picture after
every step, what the walk wrote, and `diary.csv`. Needs a display, real or virtual.
"""

import csv
import faulthandler
import os
import shutil
import sys
import time
from pathlib import Path

_TOO_LONG = 900


def main(walk: str, data: Path, out: Path) -> None:
    # A walk that hangs dumps its stack.
    faulthandler.dump_traceback_later(_TOO_LONG, exit=True)
    # As after a fresh installation: without the user's settings.
    os.environ["NAPARI_CONFIG"] = str(out / "settings" / "napari.yaml")
    begun = time.perf_counter()
    import napari
    from window import walks
    from window.person import Person

    out.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    person = Person(viewer, out)
    with person.step("start napari"):
        person.rest(300)
    name, _, message = person.diary.pop()
    person.diary.append((name, time.perf_counter() - begun, message))
    if walk == "nuclei":
        walks.nuclei(person, sorted((data / "nuclei_fluo_cc0" / "images").iterdir())[0], out)
    elif walk == "neurons":
        walks.neurons(person, sorted((data / "neurons_rgb_cc0" / "images").iterdir())[0])
    else:
        place = out / "plate"
        place.mkdir(exist_ok=True)
        for path in sorted((data / "nuclei_fluo_cc0" / "images").iterdir())[:12]:
            shutil.copy(path, place)
        walks.folder(person, place)
    with (out / "diary.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("step", "seconds", "message"), *person.diary])
    for step, seconds, message in person.diary:
        print(f"{seconds:7.1f} s  {step:28} {message}")
    print(f"{person.clicks} clicks")
    viewer.close()


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("nuclei", "neurons", "folder"):
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
