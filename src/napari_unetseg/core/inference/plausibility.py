"""Plausibility: does the result of a model on an image look right, without knowing the truth?

It is judged by two signs alone.

- *Agreement*. A model of objects predicts a map beside the foreground, such as the distance to the
  edge of the object. The objects found by it have such a map too, computed from their shapes: the
  correlation of both, inside the objects, is the agreement. It is high where objects look like
  those that were learnt, and low where shapes are guessed. A few objects may agree by chance, so
  that of n objects n / (n + 1/2) of it counts. Of a model of classes it is the share of the
  foreground that stays when the level rises from 0.35 to 0.65.
- *Familiarity*. The network knows the mean and variance of its activations during training. The
  less those of this image differ, the more familiar it looks to the network.

The plausibility is their product, and a model *fits* from `FITS` on. Objects of another size than
those that were learnt are less plausible, so that it also tells the scale to show an image at.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.object_size import (
    SAME,
    measured_part,
    median_diameter,
    window_of,
)
from napari_unetseg.core.inference.open_segmenter import familiarity_of, ready
from napari_unetseg.core.inference.predict_objects import decode_image
from napari_unetseg.core.inference.predict_options import PredictOptions, decoding_at_scale
from napari_unetseg.core.inference.predict_tiles import predict_maps_image
from napari_unetseg.core.inference.zoomed import resampled
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.objects.decoders import DecoderSpec, edge_distances
from napari_unetseg.core.progress import Progress, part, silent

FITS = 0.6
"""Plausibility from which a model fits: chosen on images of six kinds, see the notes on quality."""

ZOOMS = (0.2, 0.33, 0.57, 1.0, 1.75, 3.0, 5.0)
"""Scales that `plausible_zoom` tries."""

_TRIED_SIDE = 512
_CLEARLY = 0.1
"""How much more plausible a larger change of scale must be than a smaller one.

Not for models of objects of one diameter, which are much worse at any other.
"""

_REFINED = 1.8
"""Factor up to which the size of the objects found corrects the scale.

An image that is about as plausible at its own scale is not enlarged, but for a model of one
diameter: more pixels take longer, and their objects are no better.
"""

_FAMILIAR_SIDE = 384
_LEVELS = (0.35, 0.65)
_BY_CHANCE = 0.5
_THICK = 2.0
"""Objects that are nowhere further than this from their edge say nothing of distances."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One model on a part of an image.

    Parameters
    ----------
    model
        The model.
    labels
        (Y, X): the objects or classes it finds, in the pixels that it saw.
    agreement, familiarity
        From 0 to 1, see the module.
    """

    model: TrainedModel
    labels: NDArray[Any]
    agreement: float
    familiarity: float

    @property
    def plausibility(self) -> float:
        """Agreement times familiarity, from 0 to 1."""
        return self.agreement * self.familiarity

    @property
    def fits(self) -> bool:
        """Whether the model is worth taking."""
        return self.plausibility >= FITS

    @property
    def foreground(self) -> NDArray[np.bool_]:
        """(Y, X): where there are objects, or classes other than the background."""
        behind = 0 if self.model.decoder is not None else self.model.values[0]
        return np.asarray(self.labels != behind)

    @property
    def found(self) -> str:
        """Number of objects, or share of the foreground, in words."""
        if self.model.decoder is None:
            return f"{self.foreground.mean():.0%} of the area"
        n = int(self.labels.max(initial=0))
        return f"{n} object{'s' * (n != 1)}"


def try_model(model: TrainedModel, plane: Image, *, progress: Progress = silent) -> Trial:
    """Run a model on a plane and judge the result.

    Parameters
    ----------
    model
        At the scale that it is to see the plane, see `TrainedModel.zoomed`.
    plane
        (Y, X) or with channels; see `measured_part`.

    Raises
    ------
    InputError
        When the model does not take the channels of the plane; or without torch.
    """
    bare = model
    if model.zoom:
        bare, plane = model.zoomed(()), _resized(plane, model.zoom)
    given, segmenter, scaling, rest = ready(bare, plane, PredictOptions(device="cpu"), progress)
    maps = predict_maps_image(given, segmenter, scaling, progress=part(rest, 0, 0.8))
    numbers, classes = maps.asarray(), len(model.classes)
    if model.decoder is None:
        labels = np.array(model.values)[numbers.argmax(0)]
        agreement = stable_share(1 - numbers[0])
    else:
        made = decode_image(maps, model.values, model.decoder, decoding_at_scale(bare))
        labels = made.asarray()
        n_objects = int(labels.max(initial=0))
        agreement = agreement_of_maps(numbers[classes:], labels, model.decoder)
        agreement *= n_objects / (n_objects + _BY_CHANCE)
    trial = Trial(model, labels, agreement, 0.0)
    if agreement > 0:
        rows, columns = fullest_window(trial.foreground, _FAMILIAR_SIDE)
        seen = window_of(given, rows, columns)
        known = familiarity_of(bare, seen, scaling, trial.foreground[rows, columns])
        trial = Trial(model, labels, agreement, known)
    progress(1.0)
    return trial


def plausible_zoom(
    model: TrainedModel, image: Image, *, progress: Progress = silent
) -> tuple[float, ...]:
    """Return the scale at which the result of a model of planes is the most plausible.

    Returns
    -------
    tuple
        Pixels that the model is to see for one of the image, along Y and X: the smallest change
        of scale that is about as plausible as the best, corrected by the diameter of the objects
        found there. Empty for none.

    Notes
    -----
    The middle of the image is tried at each of `ZOOMS`, in at most 512 pixels along a side each.
    About a second of processor time.
    """
    trials: dict[float, Trial] = {}
    for number, zoom in enumerate(ZOOMS):
        share = part(progress, number / len(ZOOMS), (number + 1) / len(ZOOMS))
        piece = measured_part(image, 2, round(_TRIED_SIDE / zoom))
        seen = model.zoomed((zoom, zoom) if zoom != 1 else ())
        trials[zoom] = try_model(seen, piece, progress=share)
    best = max(trial.plausibility for trial in trials.values())
    enough = best - (0 if model.one_diameter else _CLEARLY)
    nearly = [zoom for zoom in ZOOMS if trials[zoom].plausibility >= enough]
    chosen = min(nearly, key=lambda zoom: abs(math.log(zoom)))
    if model.diameter and (found := median_diameter([trials[chosen].labels])):
        by = model.diameter / found
        largest = _REFINED if model.one_diameter or chosen != 1 else 1.0
        chosen *= by if 1 / _REFINED < by < largest else 1.0
    return () if abs(chosen - 1) < SAME else (chosen, chosen)


def agreement_of_maps(
    maps: NDArray[np.float32], labels: NDArray[np.int32], decoder: DecoderSpec
) -> float:
    """Correlate the maps that a model predicts with those of the objects made of them.

    Parameters
    ----------
    maps
        (maps, Y, X), as predicted.
    labels
        (Y, X): objects.
    decoder
        The meaning of the maps.

    Returns
    -------
    float
        From 0 to 1; 0 without objects thick enough.
    """
    _, most = edge_distances(labels)
    inside = (labels > 0) & (most >= _THICK)
    if not inside.any():
        return 0.0
    own = decoder.decoder.targets(labels)
    pairs = [(a[inside], b[inside]) for a, b in zip(maps, own, strict=True)]
    if any(np.ptp(a) == 0 or np.ptp(b) == 0 for a, b in pairs):
        return 0.0
    mean = np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs])
    return float(np.clip(mean, 0, 1))


def stable_share(foreground: NDArray[np.float32]) -> float:
    """Return the share of the foreground that stays when the level rises, see the module."""
    low, high = (np.count_nonzero(foreground > level) for level in _LEVELS)
    return high / low if low else 0.0


def _resized(plane: Image, zoom: Sequence[float]) -> Image:
    """Return a plane as a zoomed model sees it, its channels first."""
    numbers = plane.asarray().astype(np.float32)
    if "C" in plane.axes:
        numbers = np.moveaxis(numbers, plane.axes.index("C"), 0)
    sides = [max(1, round(n * by)) for n, by in zip(numbers.shape[-2:], zoom, strict=True)]
    shown = resampled(numbers.reshape(-1, *numbers.shape[-2:]), zoom, (0, 0), (0, 0), sides)
    return plane.like(shown, "CYX", rgb=plane.rgb, channel_names=plane.channel_names)


def fullest_window(found: NDArray[np.bool_], side: int) -> tuple[slice, slice]:
    """Return the window with most foreground, of at most `side` pixels along each axis."""
    sides = [min(n, side) for n in found.shape]
    sums = np.pad(found.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = sides
    inside = (sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width]) + sums[
        :-height, :-width
    ]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)


__all__ = [
    "FITS",
    "ZOOMS",
    "Trial",
    "agreement_of_maps",
    "fullest_window",
    "plausible_zoom",
    "stable_share",
    "try_model",
]
