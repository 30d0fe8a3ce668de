"""How large a network is, and how fast on this computer: measured, with weights of chance."""

import math
import time
from dataclasses import dataclass

import numpy as np

from napari_unetseg.core.compute.rounding import round_up
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.pixel_specs import PixelSpec
from napari_unetseg.core.nn.inference.network_segmenter import NetworkSegmenter
from napari_unetseg.core.nn.inference.pixel_segmenter import PixelSegmenter, build_pixels
from napari_unetseg.core.nn.networks.build_network import build_network, n_parameters
from napari_unetseg.core.progress import Progress, silent

_SIDES = {2: (512, 512), 3: (16, 128, 128)}
_ENOUGH_SECONDS = 0.7
_MOST_RUNS = 5


@dataclass(frozen=True)
class Speed:
    """What a model costs.

    Parameters
    ----------
    n_parameters
        Numbers that training sets.
    seconds_per_megapixel
        Time to predict, on the processor, in the best of a few runs.
    """

    n_parameters: int
    seconds_per_megapixel: float


def measure_speed(
    spec: ModelSpec,
    n_channels: int = 1,
    n_classes: int = 2,
    ndim: int = 2,
    *,
    progress: Progress = silent,
) -> Speed:
    """Build a model, let it predict noise, and take the time.

    Parameters
    ----------
    spec, n_channels, n_classes, ndim
        See `architecture`.
    progress
        Told before every run.

    Notes
    -----
    Takes about a second, more for large networks. Other work on the computer shows in the result.
    """
    segmenter, size = _segmenter(spec, n_channels, n_classes, ndim)
    units = zip(_SIDES[ndim], segmenter.multiple, strict=True)
    sides = tuple(round_up(side, unit) for side, unit in units)
    block = np.random.default_rng(0).random((n_channels, *sides), np.float32)
    best, spent = float("inf"), 0.0
    for run in range(_MOST_RUNS):
        progress(run / _MOST_RUNS, "measuring the speed")
        began = time.perf_counter()
        segmenter.predict_proba(block, origin=(0,) * ndim, shape=sides)
        took = time.perf_counter() - began
        best, spent = min(best, took), spent + took
        if spent > _ENOUGH_SECONDS and run:
            break
    return Speed(size, best / (math.prod(sides) / 1e6))


def _segmenter(
    spec: ModelSpec, n_channels: int, n_classes: int, ndim: int
) -> tuple[Segmenter, int]:
    classes = tuple(map(str, range(n_classes)))
    if isinstance(spec, PixelSpec):
        pixels = build_pixels(spec, n_channels, n_classes, ndim).eval()
        return PixelSegmenter(pixels, spec, classes, n_channels, ndim), n_parameters(pixels)
    network = build_network(spec, n_channels, n_classes, ndim, seed=0).eval()
    return NetworkSegmenter(network, spec, classes, n_channels, ndim), n_parameters(network)


__all__ = ["Speed", "measure_speed"]
