"""Count the clicks that an object takes, as interactive segmentation is measured.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_clicks.py DATA [SET ...] [--objects 40]
        [--seeds 1] [--quick] [--held] [--latency] [--methods NAME ...] [--weights FILE.npz]
        [--out FILE.json]

The first click is in the middle of an object, each further one in the middle of the largest error,
inside or outside. Counted are the clicks until the intersection over union is .80, .85 and .90, at
most 20; an object that does not reach .90 is a failure of it and counts as 20. The objects are a
random sample of those of the test images, or with ``--held`` of the training images that the
network is never trained on. In three tenths of all cases a click on the background follows: the
right answer to it is none.

Methods without training, next to the network: `grown` is that of the package, a watershed of the
edges at each scale; `trunk` floods the edges of the features of the pretrained network instead;
`walker` is a random walker on the pixels, `trunk walker` one on those features; `prototype`
compares the features with those at the clicks. `size known` is the network with the true diameter.
`network, grown` takes the object that is grown where the network expects little of its own.

Each seed draws other objects; with several, the spread of their means follows the mean.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from edt import edt
from object_sets import axons, cytology_nuclei, nuclei, phase_cells, stained_nuclei
from scipy.ndimage import gaussian_gradient_magnitude
from skimage.io import imread
from skimage.measure import label
from skimage.segmentation import random_walker

from napari_unetseg.core.image import Image
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.prompts.crops import Crop
from napari_unetseg.core.prompts.grow_region import (
    GrownObject,
    edge_score,
    edges_of,
    grown,
    scaled_edges,
    seeds_of,
)
from napari_unetseg.core.prompts.grown_prompts import GrownPrompts
from napari_unetseg.core.prompts.network_prompts import NetworkPrompts
from napari_unetseg.core.prompts.prompt import Prompt, PromptSegmenter, ProposedObject
from napari_unetseg.core.samples import nuclei as nuclei_sample

Array = np.ndarray
LEVELS = (0.8, 0.85, 0.9)
MOST = 20
FIELD = 384
"""Side of the window that the features of the pretrained network are compared in."""

BACKGROUND = 0.3
"""Clicks on the background, for each object."""


def planes(place: Path, name: str, every: int) -> Iterator[tuple[Array, Array]]:
    """Yield some planes of a stack with the connected pieces of its objects."""
    images, ids = (imread(place / f"{name}_{kind}.tif") for kind in ("raw", "labels"))
    yield from pieces(images[::every], ids[::every])


def pieces(images: Array, ids: Array) -> Iterator[tuple[Array, Array]]:
    """Yield planes with an id for each connected piece of an object."""
    for image, of_plane in zip(images, ids, strict=True):
        yield image, label(of_plane, background=0, connectivity=1)


def neurites(data: Path) -> list[tuple[Array, Array]]:
    """Return planes of neurites in an electron microscope's block."""
    place = data / "em_fibsem_bsd"
    images, ids = (imread(place / f"fibsem_{n}.tif") for n in ("raw", "neuron_labels"))
    return list(pieces(images[::6], ids[::6]))


def fibres(pairs: list[tuple[Array, Array]]) -> list[tuple[Array, Array]]:
    """Return images with an id for each axon."""
    return [(image, label(ids == 2, connectivity=1)) for image, ids in pairs]


SETS: dict[str, Callable[[Path], list[tuple[Array, Array]]]] = {
    "nuclei": lambda data: nuclei(data).tested,
    "phase": lambda data: phase_cells(data).tested,
    "stained": lambda data: stained_nuclei(data).tested,
    "cytology": lambda data: cytology_nuclei(data).tested,
    "axons": lambda data: fibres(axons(data).tested),
    "neurites": neurites,
    "ovule": lambda data: list(planes(data / "stack3d", "ovule", 5)),
}


def held_out(data: Path, kind: str) -> list[tuple[Array, Array]]:
    """Return the training images of a kind that nothing is learnt from."""
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
    from train_click_network import pictures

    held = pictures(data, kind)[1]
    return [(np.moveaxis(p.image, 0, -1).squeeze(), p.ids) for p in held]


class Prototype:
    """Compares the pretrained features around a click with those at the clicks, by their cosine."""

    def __init__(self, image: Image) -> None:
        self._scaling = fit_normalisation(image, NormalisationSpec())
        channels = np.asarray(image.data, np.float32)
        self._channels = np.moveaxis(channels, -1, 0) if "C" in image.axes else channels[None]
        self._first: Any = None

    def prepare(self, point: Any = None) -> None:
        """See `PromptSegmenter`."""

    def propose(self, prompt: Prompt, **_: Any) -> ProposedObject | None:
        """See `PromptSegmenter`."""
        if prompt.inside[0] != self._first:
            self._first = prompt.inside[0]
            self._read(*(round(v) for v in self._first))
        likeness = self._likeness(prompt.inside)
        outside = [point for point in prompt.outside if self._holds(point)]
        if outside:
            mask = likeness > self._likeness(outside)
        else:
            mask = likeness > 0.5 * (float(likeness.max()) + float(np.median(likeness)))
        y, x = (round(v) - o for v, o in zip(self._first, self.origin, strict=True))
        mask[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = True
        found = label(mask, connectivity=1)
        return ProposedObject(found == found[y, x], self.origin, 0.5)

    def _read(self, row: int, column: int) -> None:
        top, left = (max(v - FIELD // 2, 0) // 16 * 16 for v in (row, column))
        self.origin = top, left
        part = self._channels[:, top : top + FIELD, left : left + FIELD]
        block = self._scaling.apply(part)
        self.shape = block.shape[1:]
        self.features = trunk_features(block)

    def _holds(self, point: Any) -> bool:
        at = [v - o for v, o in zip(point, self.origin, strict=True)]
        return all(0 <= v < n - 0.5 for v, n in zip(at, self.shape, strict=True))

    def _likeness(self, points: Any) -> Array:
        each = []
        for point in filter(self._holds, points):
            y, x = (round(v) - o for v, o in zip(point, self.origin, strict=True))
            of_point = self.features[:, y, x]
            one = np.tensordot(of_point, self.features, 1) / max(float(of_point @ of_point), 1e-6)
            each.append(one)
        return np.max(each, axis=0)


def trunk_features(block: Array) -> Array:
    """Return features of the pretrained network (n, Y, X) of scaled pixels (C, Y, X)."""
    from napari_unetseg.core.nn.inference.pretrained_source import PretrainedSource

    shape, found = block.shape[1:], []
    for maps in PretrainedSource(len(block), 2).maps(block, origin=(0, 0), shape=shape)[:2]:
        step = maps.step[-1]
        y, x = (
            np.minimum(np.arange(n) // step, m - 1)
            for n, m in zip(shape, maps.values.shape[1:], strict=True)
        )
        values = maps.values / (np.linalg.norm(maps.values, axis=0) + 1e-6)
        found.append(values[:, y][:, :, x])
    return np.concatenate(found)


class TrunkPrompts(GrownPrompts):
    """Floods the edges of pretrained features, in windows of every scale."""

    def grow(self, crop: Crop, prompt: Prompt) -> GrownObject | None:
        """Return the object in a crop."""
        features = trunk_features(crop.pixels)
        strength = gaussian_gradient_magnitude(features, (0, 1.0, 1.0))
        return grown(crop, prompt, scaled_edges(np.linalg.norm(strength, axis=0), crop))


class WalkedPrompts(GrownPrompts):
    """Grows an object by a random walker on the pixels, in windows of every scale."""

    def walked_on(self, pixels: Array) -> Array:
        """Return the channels (n, SIDE, SIDE) that the walker compares."""
        return pixels

    def grow(self, crop: Crop, prompt: Prompt) -> GrownObject | None:
        """Return the object in a crop."""
        seeds = seeds_of(crop, prompt)
        if seeds is None or not (seeds == 2).any():
            return None
        channels = self.walked_on(crop.pixels)
        region = random_walker(channels, seeds, mode="cg_j", channel_axis=0) == 1
        score = edge_score(edges_of(crop), region, crop, boxed=False)
        return GrownObject(region.astype(np.float32), score)


class TrunkWalkedPrompts(WalkedPrompts):
    """Grows an object by a random walker on pretrained features."""

    def walked_on(self, pixels: Array) -> Array:
        """Return the features of the pretrained network."""
        return trunk_features(pixels)


class EitherPrompts:
    """Takes the object that is grown where the network expects little of its own."""

    def __init__(self, network: PromptSegmenter, other: PromptSegmenter, below: float) -> None:
        self.network, self.other, self.below = network, other, below

    def prepare(self, point: Any = None) -> None:
        """See `PromptSegmenter`."""

    def propose(self, prompt: Prompt, **more: Any) -> ProposedObject | None:
        """See `PromptSegmenter`."""
        found = self.network.propose(prompt, **more)
        if found is not None and found.score >= self.below:
            return found
        grown = self.other.propose(prompt, **more)
        if found is None or grown is None:
            return found
        return grown if grown.score > found.score else found


def next_click(found: Array, truth: Array, made: Prompt) -> tuple[bool, tuple[float, float]]:
    """Return whether the click in the largest error is inside, and its place: none comes twice."""
    both = found | truth
    down, across = (np.flatnonzero(both.any(axis)) for axis in (1, 0))
    top, left = int(down[0]), int(across[0])
    rows, columns = slice(top, down[-1] + 1), slice(left, across[-1] + 1)
    found, truth = found[rows, columns], truth[rows, columns]
    free = np.ones(truth.shape, bool)
    for y, x in (*made.inside, *made.outside):
        row, column = round(y) - top, round(x) - left
        free[max(row - 1, 0) : max(row + 2, 0), max(column - 1, 0) : max(column + 2, 0)] = False
    best = (True, (float(top), float(left)), -1.0)
    for inside, error in ((True, truth & ~found & free), (False, found & ~truth & free)):
        deep = edt(error, black_border=True)
        if deep.max() > best[2]:
            y, x = np.unravel_index(np.argmax(deep), deep.shape)
            best = inside, (float(y + top), float(x + left)), float(deep.max())
    return best[0], best[1]


def clicked(
    prompts: PromptSegmenter,
    truth: Array,
    *,
    begun: tuple[Prompt, ProposedObject | None] = (Prompt(), None),
    taken: Array | None = None,
    enough: float = LEVELS[-1],
    most: int = MOST,
) -> dict[str, Any]:
    """Click until an object is right; return the overlaps after each click, seconds and the object.

    Parameters
    ----------
    begun
        The prompt and the object that the clicks correct.
    taken
        Pixels of other objects.
    enough, most
        Overlap that is right, and the clicks after which it is given up.
    """
    prompt, previous = begun
    found = np.zeros(truth.shape, bool) if previous is None else previous.whole(truth.shape)
    overlaps, seconds = [], []
    for _ in range(most):
        inside, at = next_click(found, truth, prompt)
        prompt = prompt.with_inside(at) if inside else prompt.with_outside(at)
        began = time.perf_counter(), time.process_time()
        proposed = prompts.propose(prompt, previous=previous, taken=taken)
        seconds.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        previous = proposed if proposed is not None else previous
        found = proposed.whole(truth.shape) if proposed is not None else found
        overlaps.append(float((found & truth).sum() / (found | truth).sum()))
        if overlaps[-1] >= enough:
            break
    return {"overlaps": overlaps, "seconds": seconds, "found": found}


def sample(
    pairs: list[tuple[Array, Array]], count: int, seed: int
) -> list[tuple[int, int, list[tuple[int, int]]]]:
    """Return some objects of at least 30 pixels, by image and id, and places without an object."""
    rng = np.random.default_rng(seed)
    every = [
        (k, number)
        for k, (_, ids) in enumerate(pairs)
        for number, size in enumerate(np.bincount(ids.ravel()))
        if number and size >= 30
    ]
    # An image with many objects is not all of the sample.
    images = np.array([k for k, _ in every])
    weights = 1 / np.sqrt(np.bincount(images)[images])
    some = rng.choice(len(every), min(count, len(every)), replace=False, p=weights / weights.sum())
    found = []
    for n in sorted(some):
        k, number = every[n]
        places = []
        free = edt(pairs[k][1] == 0, black_border=False)
        wanted = np.flatnonzero(free >= 4)
        if rng.random() < BACKGROUND and len(wanted):
            y, x = np.unravel_index(wanted[rng.integers(len(wanted))], free.shape)
            places.append((int(y), int(x)))
        found.append((k, number, places))
    return found


def network_of(weights: Path | None) -> Any:
    """Return the network with other weights, or None for that of the package."""
    if weights is None:
        return None
    from napari_unetseg.core.nn.inference.prompt_network_source import PromptNetwork

    return PromptNetwork(weights, hashlib.sha256(weights.read_bytes()).hexdigest())


def methods(network: Any) -> dict[str, Callable[[Image, float], PromptSegmenter]]:
    """Return the methods by name: they take an image, and the true diameter of the object."""

    def of_network(image: Image, size: float | None = None) -> PromptSegmenter:
        return NetworkPrompts(image, size=size, network=network)

    return {
        "grown": lambda image, _: GrownPrompts(image),
        "trunk": lambda image, _: TrunkPrompts(image),
        "walker": lambda image, _: WalkedPrompts(image),
        "trunk walker": lambda image, _: TrunkWalkedPrompts(image),
        "prototype": lambda image, _: Prototype(image),
        "network": lambda image, _: of_network(image),
        "network, grown": lambda image, _: EitherPrompts(
            of_network(image), GrownPrompts(image), 0.55
        ),
        "size known": of_network,
    }


def measured(
    pairs: list[tuple[Array, Array]],
    of: Callable[[Image, float], PromptSegmenter],
    asked: argparse.Namespace,
) -> dict[str, Any]:
    """Return the results of a method in a set: the mean of the seeds, and their spread."""
    each = [of_seed(pairs, of, asked, seed) for seed in range(asked.seeds)]
    result: dict[str, Any] = {"spread": {}}
    for name in each[0]:
        values = [one[name] for one in each]
        counted = isinstance(values[0], int)
        result[name] = sum(values) if counted else float(np.mean(values))
        if len(each) > 1 and not counted:
            result["spread"][name] = float(np.std(values, ddof=1))
    return result


def of_seed(
    pairs: list[tuple[Array, Array]],
    of: Callable[[Image, float], PromptSegmenter],
    asked: argparse.Namespace,
    seed: int,
) -> dict[str, Any]:
    """Return the mean results of a method for the objects of a seed."""
    runs, refused, outside = [], 0, 0
    prompts: Any = None
    last = -1
    for k, number, places in sample(pairs, asked.objects, seed):
        image, ids = pairs[k]
        truth = ids == number
        size = 2 * np.sqrt(np.count_nonzero(truth) / np.pi)
        if k != last or asked.sized:
            axes = "YXC" if image.ndim == 3 else "YX"
            prompts, last = of(Image.of(image, axes, rgb=image.ndim == 3), size), k
        runs.append(clicked(prompts, truth))
        for place in places:
            outside += 1
            at = (float(place[0]), float(place[1]))
            refused += prompts.propose(Prompt((at,))) is None
    result: dict[str, Any] = {"objects": len(runs), "refused": refused, "outside": outside}
    for level in LEVELS:
        counts = [
            next((n for n, v in enumerate(one["overlaps"], 1) if v >= level), MOST) for one in runs
        ]
        result[f"noc{round(100 * level)}"] = float(np.mean(counts))
    result["failed"] = int(sum(one["overlaps"][-1] < LEVELS[-1] for one in runs))
    result["failed80"] = int(sum(max(one["overlaps"]) < LEVELS[0] for one in runs))
    for click in (1, 3, 5):
        result[f"iou{click}"] = float(
            np.mean([one["overlaps"][min(click, len(one["overlaps"])) - 1] for one in runs])
        )
    # The processor's, as another program may run beside.
    result["first_ms"] = 1e3 * float(np.median([one["seconds"][0][1] for one in runs]))
    later = [used for one in runs for _, used in one["seconds"][1:]]
    result["next_ms"] = 1e3 * float(np.median(later)) if later else 0.0
    return result


def latency(network: Any) -> None:
    """Print the milliseconds of clicks in images of two sizes, in memory and lazy."""
    import dask.array

    print("| image | ready, ms | first click, ms | next click, ms | processor ms: first, next |")
    print("| --- | --: | --: | --: | --: |")
    for side in (512, 8192):
        sample = nuclei_sample((512, 512), seed=0)
        pixels = np.tile(sample.image, (side // 512, side // 512))
        y, x = np.argwhere(sample.objects == 5).mean(0) + 512 * (side // 1024)
        for name, data in (
            ("in memory", pixels),
            ("in chunks of 1024", dask.array.from_array(pixels, chunks=1024)),
        ):
            prompts = NetworkPrompts(Image.of(data, "YX"), network=network)
            began = time.perf_counter()
            prompts.prepare((y, x))
            ready = 1e3 * (time.perf_counter() - began)
            first, later = [], []
            for shift in range(9):
                prompt = Prompt(((y + shift / 2, x),))
                began, used = time.perf_counter(), time.process_time()
                found = prompts.propose(prompt)
                first.append((time.perf_counter() - began, time.process_time() - used))
                prompt = prompt.with_outside((y + 30, x + 30))
                began, used = time.perf_counter(), time.process_time()
                prompts.propose(prompt, previous=found)
                later.append((time.perf_counter() - began, time.process_time() - used))
            (one, one_used), (two, two_used) = (1e3 * np.median(t, 0) for t in (first, later))
            print(
                f"| {side} × {side}, {name} | {ready:.0f} | {one:.0f} | {two:.0f} "
                f"| {one_used:.0f}, {two_used:.0f} |",
                flush=True,
            )


def row(name: str, method: str, of: dict[str, Any]) -> str:
    """Return the line of a table, with the spread between seeds."""

    def number(key: str, digits: int) -> str:
        shown = f"{of[key]:.{digits}f}"
        if key in of["spread"]:
            shown += f" ± {of['spread'][key]:.{digits}f}"
        return shown.replace("0.", ".") if digits == 2 else shown

    counts = " / ".join(number(f"noc{round(100 * level)}", 1) for level in LEVELS)
    overlaps = " / ".join(number(f"iou{click}", 2) for click in (1, 3, 5))
    failed = f"{of['failed80']} / {of['failed']} of {of['objects']}"
    refused = f"{of['refused']}/{of['outside']}"
    times = f"{of['first_ms']:.0f} / {of['next_ms']:.0f}"
    return f"| {name} | {method} | {counts} | {overlaps} | {failed} | {refused} | {times} |"


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("data", type=Path)
    asking.add_argument("sets", nargs="*", metavar="SET")
    asking.add_argument("--objects", type=int, default=40)
    asking.add_argument("--seeds", type=int, default=1)
    asking.add_argument("--quick", action="store_true", help="ten objects, without slow methods")
    asking.add_argument("--held", action="store_true", help="on held-out training images")
    asking.add_argument("--latency", action="store_true", help="the time of clicks alone")
    asking.add_argument("--methods", nargs="*")
    asking.add_argument("--weights", type=Path)
    asking.add_argument("--out", type=Path)
    asked = asking.parse_args()
    if asked.latency:
        latency(network_of(asked.weights))
        return
    of_method = methods(network_of(asked.weights))
    wanted = asked.methods or [
        name for name in of_method if not asked.quick or name in ("grown", "network")
    ]
    if asked.quick:
        asked.objects = min(asked.objects, 10)
    known: dict[str, Any] = {}
    print("| set | method | clicks to .80 / .85 / .90 | IoU after 1 / 3 / 5 | ", end="")
    print("never .80 / .90 | background refused | first / next click, CPU ms |")
    print("| --- | --- | --: | --: | --: | --: | --: |", flush=True)
    trained = ("nuclei", "phase", "stained", "cytology", "axons", "drawn")
    for name in asked.sets or (trained if asked.held else SETS):
        pairs = held_out(asked.data, name) if asked.held else SETS[name](asked.data)
        for method in wanted:
            asked.sized = method == "size known"
            result = measured(pairs, of_method[method], asked)
            print(row(name, method, result), flush=True)
            known.setdefault(name, {})[method] = result
            if asked.out:
                asked.out.write_text(json.dumps(known, indent=1))


if __name__ == "__main__":
    main()
