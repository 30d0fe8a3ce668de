"""Measure the time of a background fit, next to the image's mean and an explicit least squares.

    python benchmarks/bench_background.py [--side 4096] [--rounds 9]

All methods run in the same rounds, one after the other, so that a busy machine slows all alike.
The table gives the median, the minimum, the median over the rounds of the ratio to `image.mean()`
in the same round, the minimum time of all cores together (which a busy machine changes least),
and the memory in addition to the image.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.background.fit_surface import SurfacePlanes, fit_surface
from napari_unetseg.core.background.moments import Plane
from napari_unetseg.core.background.polynomial import Terms
from napari_unetseg.core.image import Image

QUADRATIC = Terms.parse("quadratic")


def make_image(side: int) -> np.ndarray:
    """Return a quadratic background with noise and a few thousand square objects, float32."""
    rng = np.random.default_rng(0)
    position = np.linspace(-1, 1, side, dtype=np.float32)
    image = rng.standard_normal((side, side), dtype=np.float32) * 20 + 1000
    image += 200 * position + 100 * position**2 - 150 * position[:, None]
    for row, column in rng.integers(0, side - 30, (3000 * side**2 // 4096**2, 2)):
        image[row : row + 30, column : column + 30] += 200
    return image


def explicit(image: np.ndarray) -> np.ndarray:
    """Fit with the full design matrix of pixels by terms, as in a textbook."""
    y, x = np.indices(image.shape, dtype=np.float64)
    y, x = y.ravel() / len(image), x.ravel() / image.shape[1]
    design = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    return np.linalg.lstsq(design, image.ravel().astype(np.float64), rcond=None)[0]


def ways(image: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return the compared methods, all on one image."""
    wrapped = Image.of(image)
    small = Image.of(np.clip(image / 8, 0, 255).astype(np.uint8))
    large = Image.of(image.astype(np.uint16))
    quadratic = BackgroundOptions(terms="quadratic")
    plain = BackgroundOptions(terms="quadratic", robust="none")
    fitted = fit_background(wrapped, quadratic)
    flat = np.empty_like(image)
    return {
        "image.mean()": image.mean,
        "fit, all pixels": lambda: fit_background(wrapped, plain),
        "fit, robust": lambda: fit_background(wrapped, quadratic),
        "fit, robust, six full passes": lambda: fit_surface(
            SurfacePlanes.of([Plane(image)]), QUADRATIC, "both", passes=6, settled=0.0
        ),
        "fit, robust, uint8": lambda: fit_background(small, quadratic),
        "fit, robust, uint16": lambda: fit_background(large, quadratic),
        "fit, auto": lambda: fit_background(wrapped, BackgroundOptions()),
        "flatten, new array": lambda: fitted.flatten(wrapped),
        "flatten, into an array": lambda: fitted.fill("subtract", image, flat, (0, 0)),
    }


def memory(way: Callable[[], object]) -> float:
    """Measure the peak memory of a method, in MB."""
    tracemalloc.start()
    way()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


def timed(way: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Measure the time of a method with a clock, in ms."""
    start = clock()
    way()
    return (clock() - start) * 1e3


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096, help="rows and columns of the image")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--without-lstsq", action="store_true", help="it needs 3 GB at 4096")
    given = parser.parse_args()
    image = make_image(given.side)
    compared = ways(image)
    first = {name: timed(way) for name, way in compared.items()}
    taken = {name: memory(way) for name, way in compared.items()}
    rounds = [{name: timed(way) for name, way in compared.items()} for _ in range(given.rounds)]
    cores = [
        {name: timed(way, time.process_time) for name, way in compared.items()} for _ in range(3)
    ]
    print(f"{given.side} x {given.side} float32, {given.rounds} rounds, numpy {np.__version__}")
    heads = ("first ms", "median ms", "least ms", "x mean()", "core ms", "MB")
    print(" " * 32 + "".join(f"{head:>10}" for head in heads))
    for name in compared:
        spent = [one[name] for one in rounds]
        ratio = np.median([one[name] / one["image.mean()"] for one in rounds])
        print(
            f"{name:32}{first[name]:10.1f}{np.median(spent):10.1f}{min(spent):10.1f}"
            f"{ratio:10.1f}{min(one[name] for one in cores):10.1f}{taken[name]:10.1f}"
        )
    if not given.without_lstsq:
        slow = timed(lambda: explicit(image))
        quick = timed(compared["fit, all pixels"])
        print(f"{'explicit lstsq':32}{'':10}{slow:10.0f}{'':10}{slow / quick:9.0f} x the fit")


if __name__ == "__main__":
    main()
