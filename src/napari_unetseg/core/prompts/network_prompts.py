"""`NetworkPrompts`: objects proposed by the network that comes with the package."""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.prompts.click_maps import maps_of
from napari_unetseg.core.prompts.crops import Crop, CropWindow, agreement, to_crop
from napari_unetseg.core.prompts.prompt import Prompt, ProposedObject
from napari_unetseg.core.prompts.window_prompts import WindowField, WindowPrompts

FloatArray = NDArray[np.float32]

LEAST = 0.5
"""Expected overlap below which a single click has not met an object."""


AGREEING = 1.0
"""Weight of the agreement with the objects in the other windows, beside the expected overlap."""


class OutlinesPrompts(Protocol):
    """A network that outlines the object of each of several crops."""

    def run(self, maps: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the probability of the object (N, Y, X), and the expected overlap (N,)."""
        ...


class NetworkPrompts(WindowPrompts):
    """Proposes objects of a plane by a network, in windows of several scales.

    Parameters
    ----------
    image
        One plane, see `open_prompts`.
    size
        See `open_prompts`.
    network
        The one that comes with the package if None.
    least
        Expected overlap below which a single click has not met an object.
    """

    def __init__(
        self,
        image: Image,
        *,
        size: float | None = None,
        network: OutlinesPrompts | None = None,
        least: float = LEAST,
    ) -> None:
        super().__init__(image, size=size, least=least)
        self._network = network

    def _best(
        self,
        prompt: Prompt,
        windows: Sequence[CropWindow],
        previous: ProposedObject | None,
        cancelled: Callable[[], bool],
    ) -> WindowField | None:
        """Return the probability in the window that is expected to be right most, or None."""
        crops = [crop for crop in map(self._reader.crop, windows) if crop]
        if not crops:
            return None
        maps = []
        for crop in crops:
            at = crop.window
            box = at.crop_points([prompt.box[:2], prompt.box[2:]]) if prompt.box else None
            before = _resampled(previous, at, self._reader.shape) if previous else None
            inside, outside = at.crop_points(prompt.inside), at.crop_points(prompt.outside)
            maps.append(maps_of(crop, inside, outside, box, before))
        given = np.stack(maps)
        # Also turned by half: the mean is right more often, and expects more reliably.
        turned = np.ascontiguousarray(given[..., ::-1, ::-1])
        fields, scores = self._outlines().run(np.concatenate([given, turned]))
        n = len(crops)
        score = np.asarray((scores[:n] + scores[n:]) / 2, np.float32)
        field = np.asarray((fields[:n] + fields[n:, ::-1, ::-1]) / 2, np.float32)
        support = score.astype(np.float64)
        if previous is None and n > 2:
            support += AGREEING * _agreements(field, crops, score)
        k = int(np.argmax(support))
        # What others agree with is right more often than what expects the most.
        return field[k], crops[k].window, float(score.max())

    def _outlines(self) -> OutlinesPrompts:
        if self._network is None:
            from napari_unetseg.core.nn.inference.prompt_network_source import prompt_network

            self._network = prompt_network()
        return self._network


def _agreements(
    fields: FloatArray, crops: Sequence[Crop], scores: FloatArray
) -> NDArray[np.float64]:
    """Return the mean agreement of the object in each crop with the others, by their scores.

    The windows have one middle, the smallest first.
    """
    n = len(crops)
    weights = np.tile(scores.astype(np.float64), (n, 1))
    np.fill_diagonal(weights, 0)
    agreeing = np.zeros((n, n))
    for i, j in combinations(range(n), 2):
        one = agreement(fields[i], crops[i].window, fields[j], crops[j].window)
        agreeing[i, j] = agreeing[j, i] = one
    return np.asarray((agreeing * weights).sum(1) / np.maximum(weights.sum(1), 1e-9))


def _resampled(found: ProposedObject, window: CropWindow, shape: tuple[int, ...]) -> FloatArray:
    """Return the probability of an object in the crop of a window."""
    rows, columns = window.clipped(shape)
    part = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    known = found.mask if found.probability is None else found.probability * found.mask
    (y, x), (height, width) = found.origin, found.mask.shape
    top, bottom = max(y, rows.start), min(y + height, rows.stop)
    left, right = max(x, columns.start), min(x + width, columns.stop)
    if top < bottom and left < right:
        part[
            top - rows.start : bottom - rows.start, left - columns.start : right - columns.start
        ] = known[top - y : bottom - y, left - x : right - x]
    step = window.step
    return to_crop(part[::step, ::step], window, shape)


__all__ = ["LEAST", "NetworkPrompts", "OutlinesPrompts"]
