"""Measure the time of thresholds and objects, next to numpy, scipy and scikit-image.

    python benchmarks/bench_threshold.py [--side 4096] [--rounds 7] [--split]

All methods run in the same rounds, one after the other, so that a busy machine slows all alike.
The table gives the median and the minimum time, and the median over the rounds of the ratio of
the reference's time to ours in the same round. There is one object of a hundred pixels, every
third with a hole, per 43 by 43 pixels: 9,000 of them in 4096×4096.
"""

import argparse
import time
from collections.abc import Callable

import edt
import numpy as np
from scipy import ndimage
from skimage import feature, filters, measure, segmentation

from napari_unetseg.core.background.gaussian import gaussian
from napari_unetseg.core.image import Image
from napari_unetseg.core.objects.masks import clean, label, split_touching
from napari_unetseg.core.threshold import ThresholdOptions, preview, threshold
from napari_unetseg.core.threshold.histogram import compute_histogram

Way = Callable[[], object]


def make_image(side: int) -> np.ndarray:
    """Return noisy discs on a dark background, some with holes, some touching, as uint16."""
    rng = np.random.default_rng(0)
    image = rng.normal(300, 40, (side, side)).astype(np.float32)
    y, x = np.mgrid[-14:15, -14:15]
    for k, (row, column) in enumerate(np.ndindex(side // 43, side // 43)):
        radius = rng.uniform(5, 13)
        ball = (y**2 + x**2 <= radius**2) & ~((k % 3 == 0) & (y**2 + x**2 < 4))
        top = np.clip(row * 43 + rng.integers(-8, 9) + 7, 0, side - 29)
        left = np.clip(column * 43 + rng.integers(-8, 9) + 7, 0, side - 29)
        image[top : top + 29, left : left + 29] += 900 * ball
    return image.clip(0, 65535).astype(np.uint16)


def drop_small(labels: np.ndarray, size: int) -> np.ndarray:
    """Drop small objects as scikit-image does, without its warnings."""
    sizes = np.bincount(labels.ravel())
    small = sizes < size
    small[0] = True
    out = labels.copy()
    out[small[labels]] = 0
    return out


def pipeline(image: np.ndarray) -> np.ndarray:
    """Run Otsu, hole filling, removal of small objects and labelling by scikit-image and scipy."""
    mask = ndimage.binary_fill_holes(image > filters.threshold_otsu(image))
    return segmentation.relabel_sequential(drop_small(measure.label(mask), 20))[0]


def split_by_peaks(mask: np.ndarray) -> np.ndarray:
    """Split touching objects by scikit-image."""
    distance = edt.edt(mask, parallel=2)
    whole = measure.label(mask)
    peaks = feature.peak_local_max(distance, min_distance=6, labels=whole)
    seeds = np.zeros(mask.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return segmentation.watershed(-distance, seeds, mask=mask)


def ways(image: np.ndarray, split: bool) -> list[tuple[str, Way, str, Way]]:
    """Return name and function of each of our methods and of its reference."""
    small, floats = (image // 16).clip(0, 255).astype(np.uint8), image.astype(np.float32)
    mask = image > filters.threshold_otsu(image)
    manual, otsu = ThresholdOptions(method="manual"), ThresholdOptions()
    cleaned = ThresholdOptions(fill_holes=True, min_size=20, result="objects")
    classes = cleaned.model_copy(update={"result": "classes"})
    out = np.empty(image.shape, np.uint8)
    rows: list[tuple[str, Way, str, Way]] = [
        (
            f"preview {plane.dtype}",
            lambda plane=plane, k=k: preview(plane, manual, (600 / 16**k,), out=out),
            "numpy >",
            lambda plane=plane, k=k: plane > 600 / 16**k,
        )
        for k, plane in [(0, image), (0, floats), (1, small)]
    ]
    rows += [
        (
            f"histogram {plane.dtype}",
            lambda plane=plane: compute_histogram(plane),
            "scikit-image otsu",
            lambda plane=plane: filters.threshold_otsu(plane),
        )
        for plane in (small, image, floats)
    ]
    rows += [
        ("li, float32", _li(floats), "scikit-image", lambda: filters.threshold_li(floats)),
        ("Gaussian sigma 2", lambda: gaussian(floats, 2.0), "scipy", _scipy_gaussian(floats)),
        ("label", lambda: label(mask), "scikit-image", lambda: measure.label(mask)),
        ("label", lambda: label(mask), "scipy", lambda: ndimage.label(mask, np.ones((3, 3)))),
        (
            "fill holes",
            lambda: clean(mask, fill_holes=True),
            "scipy",
            lambda: ndimage.binary_fill_holes(mask),
        ),
        (
            "drop small",
            lambda: clean(mask, min_size=50),
            "scikit-image",
            lambda: drop_small(measure.label(mask), 50) > 0,
        ),
        (
            "clear border",
            lambda: clean(mask, clear_border=True),
            "scikit-image",
            lambda: segmentation.clear_border(mask),
        ),
        ("otsu, mask", lambda: threshold(Image.of(image), otsu), "scikit-image", _mask(image)),
    ]
    for plane in (image, floats):
        rows += [
            (
                f"full, {kind.result} {plane.dtype}",
                lambda plane=plane, kind=kind: threshold(Image.of(plane), kind),
                "scikit-image",
                lambda plane=plane: pipeline(plane),
            )
            for kind in (classes, cleaned)
        ]
    if split:
        rows.append(
            (
                "split",
                lambda: split_touching(mask),
                "peaks, watershed",
                lambda: split_by_peaks(mask),
            )
        )
    return rows


def _li(plane: np.ndarray) -> Way:
    from napari_unetseg.core.threshold.levels import automatic_levels

    return lambda: automatic_levels(Image.of(plane), "li")


def _scipy_gaussian(plane: np.ndarray) -> Way:
    return lambda: ndimage.gaussian_filter(plane, 2.0)


def _mask(plane: np.ndarray) -> Way:
    return lambda: plane > filters.threshold_otsu(plane)


def seconds(way: Way) -> float:
    """Measure the time of one call."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def main() -> None:
    """Run all methods in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--split", action="store_true", help="also split, against seconds")
    options = parser.parse_args()
    image = make_image(options.side)
    rows = ways(image, options.split)
    _, n = label(image > filters.threshold_otsu(image), fill_holes=True, min_size=20)
    print(f"{options.side}×{options.side}, {n} objects")
    for _, ours, _, _ in rows:
        ours()  # compiles
    times = np.array(
        [
            [(seconds(ours), seconds(other)) for _, ours, _, other in rows]
            for _ in range(options.rounds)
        ]
    )
    print(f"{'':24} {'median':>8} {'least':>8} ms {'reference':>20} {'least':>8} ms {'ratio':>6}")
    for k, (name, _, reference, _) in enumerate(rows):
        ours, other = 1000 * times[:, k].T
        ratio = np.median(other / ours)
        print(
            f"{name:24} {np.median(ours):8.1f} {ours.min():8.1f}    {reference:>20} "
            f"{other.min():8.1f}    {ratio:6.1f}"
        )


if __name__ == "__main__":
    main()
