"""How often does the comparison of the shipped models put the right one first?

    python benchmarks/bench_which_model.py DATA [--train] [--out trials.json]

Every image of the small sets in DATA, or with --train of the sets to learn from, is tried with
every shipped model. Right is the model of the image's kind and, where no such model ships, the
general one or none. Of phase cells, frames that the small set is cut from are left out of --train.
"""

import argparse
import json
import time
from collections import Counter
from pathlib import Path

from napari_unetseg.core.inference.plausibility import FITS
from napari_unetseg.core.io import read_image
from napari_unetseg.core.models_io.compare_shipped import Comparison, compare_shipped
from napari_unetseg.core.models_io.shipped_models import names

KINDS = {
    "nuclei_fluo_cc0": "nuclei",
    "phase_cells_mit": "phase_cells",
    "neurons_rgb_cc0": "neurons",
    "stained_nuclei_cc0": "stained_nuclei",
    "cytology_cc0": "cytology_nuclei",
    "axon_sem_mit": "axons",
}
"""The folder of each set, and the model of its kind."""

_AT_MOST = 24
"""Images of a set to learn from that are tried."""

_CROPPED = tuple(f"t98g_{number:02d}" for number in (1, 3, 5, 7, 14, 18, 20, 24))


def images_of(folder: Path, *, train: bool) -> list[Path]:
    """Return the images of a set, evenly chosen where there are many."""
    found = sorted((folder / "images").iterdir())
    if not train:
        return found
    found = [path for path in found if not path.name.startswith(_CROPPED)]
    step = max(1, len(found) // _AT_MOST)
    return found[::step][:_AT_MOST]


def right_of(kind: str) -> set[str]:
    """Return the names that are right; ``"none"`` where nothing fits."""
    return {kind} if kind in names() else {"general", "none"}


def main() -> None:
    """Print a row for each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    root = given.data / "train" if given.train else given.data
    rows: list[dict[str, object]] = []
    for folder, kind in KINDS.items():
        first: Counter[str] = Counter()
        slowest = 0.0
        for path in images_of(root / folder, train=given.train):
            began = time.process_time()
            made: Comparison = compare_shipped(read_image(path))
            slowest = max(slowest, time.process_time() - began)
            first["none" if made.best is None else made.best.model.name] += 1
            trials = {
                one.model.name: (round(one.agreement, 4), round(one.familiarity, 4))
                for one in made.trials
            }
            rows.append({"kind": kind, "image": path.name, "trials": trials})
        right = sum(n for name, n in first.items() if name in right_of(kind))
        print(
            f"{kind:16} {right:3} of {first.total():3} right   first: {dict(first)}   "
            f"at most {slowest:.1f} s of processor time",
            flush=True,
        )
    print(f"fits from {FITS:g} on, {len(names())} models")
    if given.out is not None:
        given.out.write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
