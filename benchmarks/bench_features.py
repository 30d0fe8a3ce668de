"""Measure the time of features and fits, next to scipy, scikit-image and scikit-learn.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_features.py [--sides 1024 2048] [--rounds 5]

All methods run in the same rounds, one after the other, so that a busy machine slows all alike.
The tables give the median and the minimum time in milliseconds. "stroke to field" is the work
after a stroke in live mode with cached features: gather the labelled pixels, refit, predict every
pixel. The forests come from scikit-learn, if it is installed.
"""

import argparse
import importlib.util
import itertools
import time
from collections.abc import Callable, Iterable

import numpy as np
from scipy import ndimage
from skimage.feature import multiscale_basic_features

from napari_unetseg.core.annotation.annotation import IGNORED
from napari_unetseg.core.annotation.pixel_table import PixelTable
from napari_unetseg.core.features import FilterBankSpec, filter_bank
from napari_unetseg.core.features.filter_passes import INTEGRATION, TRUNCATE
from napari_unetseg.core.model.pixel_specs import LogisticSpec, MlpSpec, PixelSpec, SoftmaxSpec
from napari_unetseg.core.nn.inference.pixel_segmenter import PixelSegmenter
from napari_unetseg.core.nn.training.fit_pixels import fit_table
from napari_unetseg.core.samples import neurons

Way = Callable[[], object]
LABELLED = 200


def with_scipy(image: np.ndarray, spec: FilterBankSpec) -> list[np.ndarray]:
    """Compute the same features by Gaussian derivatives."""
    found = [image]
    for sigma in spec.scales:

        def smooth(order: tuple[int, int] = (0, 0), sigma: float = sigma) -> np.ndarray:
            return ndimage.gaussian_filter(image, sigma, order=order, truncate=TRUNCATE)

        y, x = smooth((1, 0)), smooth((0, 1))
        found += [smooth(), np.hypot(y, x)]
        found += eigenvalues(smooth((2, 0)), smooth((1, 1)), smooth((0, 2)))
        wide = INTEGRATION * sigma
        tensor = [
            ndimage.gaussian_filter(p, wide, truncate=TRUNCATE) for p in (y * y, y * x, x * x)
        ]
        found += [np.sqrt(np.maximum(value, 0)) for value in eigenvalues(*tensor)]
    return found


def eigenvalues(yy: np.ndarray, yx: np.ndarray, xx: np.ndarray) -> list[np.ndarray]:
    """Compute both eigenvalues of symmetric matrices."""
    mean, radius = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    return [mean + radius, mean - radius]


def with_scikit_image(image: np.ndarray, spec: FilterBankSpec) -> np.ndarray:
    """Compute the most similar features: all but those of the structure tensor."""
    low, *_, high = spec.scales
    return multiscale_basic_features(
        image, sigma_min=low, sigma_max=high, num_sigma=len(spec.scales)
    )


def table_of(ways: dict[str, Way], rounds: int) -> Iterable[str]:
    """Time all methods in turn; yield a line for each."""
    for way in ways.values():
        way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _, (name, way) in itertools.product(range(rounds), ways.items()):
        begun = time.perf_counter()
        way()
        times[name].append(1000 * (time.perf_counter() - begun))
    for name, taken in times.items():
        yield f"  {name:44s}{np.median(taken):9.1f}{min(taken):9.1f}"


def features(side: int, rounds: int) -> None:
    """Time the filter bank."""
    image = np.random.default_rng(0).random((side, side), dtype=np.float32)
    usual, many = FilterBankSpec(), FilterBankSpec(sigmas="1, 1.5, 2, 3, 4, 8")
    out = filter_bank(image[None], usual)
    ways: dict[str, Way] = {
        f"ours, {usual.n_features(2)} features": lambda: filter_bank(image[None], usual),
        "ours, into the same array": lambda: filter_bank(image[None], usual, out=out),
        f"ours, {many.n_features(2)} features": lambda: filter_bank(image[None], many),
        "scipy, the same 25": lambda: with_scipy(image, usual),
        "scikit-image, 16 (no structure tensor)": lambda: with_scikit_image(image, usual),
    }
    print(f"features of {side} x {side}" + " " * 24 + "median    least")
    print("\n".join(table_of(ways, rounds)))


def fits(side: int, rounds: int) -> None:
    """Time fits to 200 labelled pixels per class, and their predictions."""
    sample = neurons((side, side), seed=1)
    image = (sample.image / sample.image.mean()).astype(np.float32)[None]
    inputs = filter_bank(image, FilterBankSpec())
    rng = np.random.default_rng(0)
    targets = np.full(sample.classes.shape, IGNORED, np.uint8)
    for k in (0, 1):
        places = np.argwhere(sample.classes == k)
        targets[tuple(rng.permutation(places)[:LABELLED].T)] = k
    table = PixelTable.gather(inputs, targets, 2)
    ways: dict[str, Way] = {}
    for spec in (LogisticSpec(), SoftmaxSpec(), MlpSpec()):
        segmenter = PixelSegmenter(fit_table(spec, table), spec, ("a", "b"), 1, 2)
        ways[f"{spec.kind}: refit"] = lambda spec=spec: fit_table(spec, table)
        ways[f"{spec.kind}: stroke to field"] = lambda s=segmenter: live(s, inputs, targets)
    if importlib.util.find_spec("sklearn"):
        from sklearn import ensemble

        pixels = inputs.reshape(len(inputs), -1).T
        for name in ("RandomForestClassifier", "ExtraTreesClassifier"):
            forest = getattr(ensemble, name)(100, n_jobs=2, random_state=0)
            forest.fit(table.inputs, table.targets)
            ways[f"{name}: refit"] = lambda f=forest: f.fit(table.inputs, table.targets)
            ways[f"{name}: field"] = lambda f=forest: f.predict_proba(pixels)
    print(f"fits to {len(table)} pixels, field of {side} x {side}" + " " * 10 + "median    least")
    print("\n".join(table_of(ways, rounds)))


def live(segmenter: PixelSegmenter, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Refit and predict as after a stroke; the labels of the field are those of the last refit."""
    spec: PixelSpec = segmenter.spec
    table = PixelTable.gather(inputs, targets, 2)
    network = fit_table(spec, table, start=segmenter.network)
    return PixelSegmenter(network, spec, ("a", "b"), 1, 2).proba_of(inputs)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    for side in asked.sides:
        features(side, asked.rounds)
    fits(asked.sides[0], asked.rounds)


if __name__ == "__main__":
    main()
