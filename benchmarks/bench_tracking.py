"""Compare ways of linking objects over time on drawn movies whose tracks are known.

    python benchmarks/bench_tracking.py [--movies 3] [--phase FOLDER]

The nuclei of `napari_unetseg.core.samples.moving_nuclei` move by 0.25 to 4 of their diameters from
frame to frame, crowded (the nearest neighbour is two diameters away) or sparse (six), and divide.
The true objects of each frame are renumbered and linked; so only the linking is scored.

links       share of the true links that were found, daughters to their mother included
right       share of the links that are true
TRA         of the Cell Tracking Challenge, 1 for a perfect graph (weights 1.5 for a link that is
            missing and 1 for a wrong one, of 10 for each object and 1.5 for each link)
switches    links of one object in which the number changes, in 100
divisions   F1 of divisions, right when the mother and both daughters are

With `--missing`, shares of the objects are erased at random, and links go to the next frame with
the object, so that gaps matter.

With `--phase`, a folder of label images of cells in phase contrast, movies are made of them as
well: every cell keeps its shape and moves within the field.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from napari_unetseg.core.io import expand_inputs, read_labels
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.linking import link_objects
from napari_unetseg.core.samples import moving_nuclei

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0)
FIELDS = {"crowded": (1.0, 256), "sparse": (0.1, 768)}
WAYS = {
    "overlap": {"link_by": "overlap"},
    "movement": {"link_by": "movement"},
    "movement, no divisions": {"link_by": "movement", "link_divisions": False},
}
WITH_GAPS = {
    "overlap": {"link_by": "overlap"},
    "overlap, gap 1": {"link_by": "overlap", "link_gap": 1},
    "movement": {"link_by": "movement"},
    "movement, gap 1": {"link_by": "movement", "link_gap": 1},
    "movement, gap 2": {"link_by": "movement", "link_gap": 2},
}

Node = tuple[int, int]
Edges = set[tuple[Node, Node]]


def edges_of(objects: np.ndarray, parents: Mapping[int, int], truth: np.ndarray) -> Edges:
    """Return the links of a movie between true objects, each (frame, true id), also over gaps."""
    edges: Edges = set()
    last: dict[int, Node] = {}
    for frame, (ids, true) in enumerate(zip(objects, truth, strict=True)):
        inside = true > 0
        pairs = np.unique(np.stack([ids[inside], true[inside]], 1), axis=0)
        now = {int(one): (frame, int(of)) for one, of in pairs if one}
        for one, node in now.items():
            source = one if one in last else parents.get(one, 0)
            if source in last:
                edges.add((last[source], node))
        last |= now
    return edges


def with_missing(truth: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Erase a share of the objects of each frame."""
    rng, made = np.random.default_rng(seed), truth.copy()
    for frame in made:
        present = np.unique(frame[frame > 0])
        frame[np.isin(frame, present[rng.random(len(present)) < share])] = 0
    return made


def divisions_of(edges: Edges) -> set[tuple[Node, frozenset[Node]]]:
    """Return each object with two successors, and these."""
    after: dict[Node, set[Node]] = {}
    for one, other in edges:
        after.setdefault(one, set()).add(other)
    return {(one, frozenset(those)) for one, those in after.items() if len(those) == 2}


def renumbered(truth: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the objects with ids of their own in every frame, as segmentation gives them."""
    made, n = np.zeros_like(truth), 0
    for frame, true in enumerate(truth):
        present = np.unique(true[true > 0])
        table = np.zeros(int(truth.max()) + 1, truth.dtype)
        table[present] = np.arange(n + 1, n + len(present) + 1)
        made[frame], n = table[true], n + len(present)
    return made, n


def scores(truth: np.ndarray, true_parents: Mapping[int, int], way: dict) -> np.ndarray:
    """Link the objects of a movie in one way, and score the links."""
    labels, n = renumbered(truth)
    parents: dict[int, int] = {}
    start = time.perf_counter()
    options = DecodeOptions.checked(link="time", **way)
    link_objects(labels, "TYX", n, options, parents=parents)
    seconds = time.perf_counter() - start
    wanted = edges_of(truth, true_parents, truth)
    found = edges_of(labels, parents, truth)
    missing, wrong = len(wanted - found), len(found - wanted)
    whole = 10 * n + 1.5 * len(wanted)
    true_divisions, divisions = divisions_of(wanted), divisions_of(found)
    single = {(a, b) for a, b in wanted if a[1] == b[1]}
    of = {(t, int(i)): int(labels[t][truth[t] == i][0]) for t, i in _nodes(truth)}
    switches = sum(of[a] != of[b] for a, b in single)
    count = len(true_divisions) + len(divisions)
    return np.array(
        [
            1 - missing / len(wanted),
            1 - wrong / max(len(found), 1),
            1 - min(1.0, (1.5 * missing + wrong) / whole),
            100 * switches / max(len(single), 1),
            2 * len(true_divisions & divisions) / count if count else np.nan,
            seconds,
        ]
    )


def _nodes(truth: np.ndarray) -> Iterator[Node]:
    for frame, true in enumerate(truth):
        yield from ((frame, int(one)) for one in np.unique(true[true > 0]))


def phase_movie(labels: np.ndarray, speed: float, seed: int, frames: int = 16) -> np.ndarray:
    """Move the cells of a label image within its field, keeping their shapes."""
    rng = np.random.default_rng(seed)
    cells = []
    for one in np.unique(labels[labels > 0])[:60]:
        pixels = np.argwhere(labels == one)
        cells.append((int(one), pixels, 2 * np.sqrt(len(pixels) / np.pi)))
    shape, moved = np.array(labels.shape), {one: np.zeros(2) for one, _, _ in cells}
    movie = np.zeros((frames, *labels.shape), np.int32)
    for frame in range(frames):
        for one, pixels, diameter in cells:
            if frame:
                moved[one] = moved[one] + rng.standard_normal(2) * speed * diameter / np.sqrt(2)
            low, high = -pixels.min(0), shape - 1 - pixels.max(0)
            # Turned back at the edges of the field.
            span = np.maximum(high - low, 1)
            fold = np.abs((moved[one] - low + span) % (2 * span) - span)
            at = pixels + np.rint(low + fold).astype(int)
            free = movie[frame][tuple(at.T)] == 0
            movie[frame][tuple(at[free].T)] = one
    return movie


def report(
    name: str, movies: list[tuple[np.ndarray, Mapping[int, int]]], ways: Mapping[str, dict] = WAYS
) -> None:
    """Print one line for each way."""
    for way, options in ways.items():
        each = np.array([scores(*movie, options) for movie in movies])
        mean = np.ma.masked_invalid(each).mean(0).filled(np.nan)
        numbers = "".join(f"{value:10.3f}" for value in mean)
        print(f"{name:24}{way:24}{numbers}", flush=True)


def main() -> None:
    """Print a table of scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--movies", type=int, default=3)
    parser.add_argument("--phase", type=Path)
    parser.add_argument("--missing", type=float, nargs="*", default=[], metavar="SHARE")
    given = parser.parse_args()
    names = ("links", "right", "TRA", "switches", "divisions", "seconds")
    print(" " * 48 + "".join(f"{name:>10}" for name in names))
    for field, (density, side) in FIELDS.items():
        for speed in SPEEDS:
            drawn = [
                moving_nuclei(
                    (24, side, side), seed=seed, density=density, speed=speed, divisions=0.05
                )
                for seed in range(given.movies)
            ]
            movies = [(one.objects, one.parents) for one in drawn]
            if not given.missing:
                report(f"{field}, {speed:g} diameters", movies)
            for share in given.missing:
                name = f"{field}, {speed:g}, {100 * share:g} %"
                some = [(with_missing(one, share, k), of) for k, (one, of) in enumerate(movies)]
                report(name, some, WITH_GAPS)
    if given.phase is not None:
        images = [read_labels(path).asarray() for path in expand_inputs([given.phase])]
        for speed in SPEEDS:
            made = [phase_movie(one, speed, k) for k, one in enumerate(images[: given.movies])]
            report(f"phase, {speed:g} diameters", [(one, {}) for one in made])


if __name__ == "__main__":
    main()
