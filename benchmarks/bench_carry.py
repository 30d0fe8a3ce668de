"""Measure objects of stacks that are carried through the planes from one of them.

Each object starts in its middle plane, from its true outline or from one click at its deepest
pixel. Then a person is simulated, who corrects the worst plane and carries again, until the overlap
in 3D is .85 or ten planes are corrected. The stacks are about as fine along Z as across: `--every`
leaves planes out, so that those left are 2 or 4 pixels apart; `--unknown` hides this distance.

    python benchmarks/bench_carry.py DATA [--objects 12] [--start click outline]
        [--every 1 2 4] [--unknown] [--corrections 10]
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.io import imread

from napari_unetseg.core.image import Image
from napari_unetseg.core.prompts.carry_planes import carry_planes, clicks_in, plane_of
from napari_unetseg.core.prompts.find_similar import cut_objects
from napari_unetseg.core.prompts.open_prompts import open_prompts
from napari_unetseg.core.prompts.prompt import Prompt, ProposedObject

STACKS = {
    "nuclei": ("stack3d/cells3d_nuclei_raw", "stack3d/cells3d_nuclei_labels"),
    "ovule": ("stack3d/ovule_raw", "stack3d/ovule_labels"),
    "neurites": ("em_fibsem_bsd/fibsem_raw", "em_fibsem_bsd/fibsem_neuron_labels"),
    "star-convex": ("stack3d/stardist_img3d", "stack3d/stardist_mask3d"),
}
GOOD, SMALLEST = 0.85, 200

Mask = NDArray[np.bool_]


def overlap(found: Mask, true: Mask) -> float:
    """Return the intersection over union."""
    return float((found & true).sum() / max((found | true).sum(), 1))


def carried(
    image: Image, anchors: Mapping[int, ProposedObject], taken: Any
) -> tuple[Mask, list[str], int]:
    """Return the object in 3D, the reasons of its ends, and the planes that were looked at."""
    found = np.zeros(image.shape, np.bool_)
    for z, one in anchors.items():
        found[z][one.slices] |= one.mask
    ends, looked = [], 0
    for plane in carry_planes(image, anchors, taken=taken):
        looked += 1
        if plane.found is None:
            ends.append(plane.why)
        else:
            found[plane.z][plane.found.slices] |= plane.found.mask
    return found, ends, looked


def measured(
    image: Image, ids: NDArray[Any], numbers: list[int], start: str, given: argparse.Namespace
) -> str:
    """Return the mean results of the objects of a stack."""
    first, corrected, starts, looked, seconds = [], [], [], 0, 0.0
    met, beyond, of = 0, 0, 0
    for number in numbers:
        true = ids == number
        planes = np.flatnonzero(true.any((1, 2)))
        of += len(planes)
        z = int(planes[len(planes) // 2])
        (begun,) = cut_objects(ids[z], [number])
        if start == "click":
            prompt = Prompt(clicks_in(begun, 0)[:1])
            clicked = open_prompts(plane_of(image, z)).propose(prompt)
            if clicked is None:
                first.append(0.0)
                corrected.append(given.corrections)
                starts.append(0.0)
                continue
            begun = clicked
        starts.append(overlap(begun.whole(ids.shape[1:]), true[z]))

        def taken(z: int, number: int = number, ids: Any = ids) -> Any:
            return (ids[z] != 0) & (ids[z] != number) if given.neighbours else None

        anchors = {z: begun}
        for step in range(given.corrections + 1):
            clock = time.perf_counter()
            found, ends, count = carried(image, anchors, taken)
            seconds += time.perf_counter() - clock
            looked += count
            whole = overlap(found, true)
            if step == 0:
                first.append(whole)
                there = np.flatnonzero(found.any((1, 2)))
                met += np.isin(there, planes).sum()
                beyond += len(there) - np.isin(there, planes).sum()
                if given.show:
                    print(
                        f"  {number}: {whole:.2f}, start {starts[-1]:.2f}, planes "
                        f"{there[0]}-{there[-1]} of {planes[0]}-{planes[-1]}: {ends}"
                    )
            if whole >= GOOD or step == given.corrections:
                break
            wrong = {
                at: (found[at] ^ true[at]).sum()
                for at in planes.tolist()
                if at not in anchors or start == "click"
            }
            if not wrong:
                break
            worst = max(wrong, key=lambda at: wrong[at])
            (anchors[worst],) = cut_objects(ids[worst], [number])
        corrected.append(step)
    line = (
        f"{len(numbers)} objects, from {start} (IoU {np.mean(starts):.2f}): 3D IoU "
        f"{np.mean(first):.3f}, median {np.median(first):.3f}, above .5 "
        f"{np.mean(np.array(first) > 0.5):.2f}; of the planes of the objects {met / of:.2f} met, "
        f"{beyond / of:.2f} beyond them"
    )
    if given.corrections:
        line += (
            f"; planes corrected for {GOOD}: {np.mean(corrected):.1f}, "
            f"none in {np.mean(np.array(corrected) == 0):.2f}"
        )
    return f"{line}; {1000 * seconds / max(looked, 1):.0f} ms a plane"


def main() -> None:
    """Run the benchmark and print a line for each stack and start."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("data", type=Path)
    usual = ["nuclei", "ovule"]
    asked.add_argument("--stacks", nargs="*", default=usual, choices=list(STACKS))
    asked.add_argument("--start", nargs="*", default=["outline", "click"])
    asked.add_argument("--objects", type=int, default=12)
    asked.add_argument("--every", nargs="*", type=int, default=[1], help="planes that are taken")
    asked.add_argument("--unknown", action="store_true", help="the distance of planes counts as 1")
    asked.add_argument("--corrections", type=int, default=10, help="most planes corrected")
    asked.add_argument("--neighbours", action="store_true", help="the others are labelled already")
    asked.add_argument("--show", action="store_true", help="print each object")
    given = asked.parse_args()
    for name in given.stacks:
        pixels, ids = (imread(given.data / f"{file}.tif") for file in STACKS[name])
        numbers, sizes = np.unique(ids[ids > 0], return_counts=True)
        numbers = numbers[sizes > SMALLEST]
        if len(numbers) > given.objects:
            numbers = np.random.default_rng(0).choice(numbers, given.objects, replace=False)
        for every in given.every:
            apart = 1 if given.unknown else every
            image = Image.of(pixels[::every], "ZYX", spacing=(apart, 1, 1))
            for start in given.start:
                kept = numbers[np.isin(numbers, ids[::every])].tolist()
                line = measured(image, ids[::every], kept, start, given)
                print(f"{name}, every {every}, {line}", flush=True)


if __name__ == "__main__":
    main()
