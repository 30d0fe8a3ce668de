"""The common interface of fitted rungs, and the model fields taken from a fit and an image."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import COLOURS, Image, read_pixels
from napari_unetseg.core.model.network_specs import ModelSpec

Array = NDArray[Any]

_EXAMPLE_SIDE = {2: 256, 3: 64}


class FitResult(Protocol):
    """The result of a fit of any rung, from which a model is made."""

    @property
    def spec(self) -> ModelSpec:
        """Specification of the model."""

    @property
    def network(self) -> Any:
        """A torch module."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def values(self) -> tuple[int, ...]:
        """Value in a label layer of each class; counted from 1 when empty."""

    @property
    def n_channels(self) -> int:
        """Channels of the images."""

    @property
    def ndim(self) -> int:
        """2 or 3."""


def known_of(fit: FitResult, image: Image | None = None) -> dict[str, Any]:
    """Return the fields of a `TrainedModel` that follow from a fit and one of its images.

    Parameters
    ----------
    fit
        Its network is copied. A ``history_table``, a ``spacing``, a ``decoder`` and a
        ``features_from`` are used where it has them.
    image
        Source of pixel size, channel names, colour and an example.
    """
    fields: dict[str, Any] = {
        "spec": fit.spec,
        "classes": fit.classes,
        "values": fit.values or tuple(range(1, len(fit.classes) + 1)),
        "n_channels": fit.n_channels,
        "ndim": fit.ndim,
        "state": _arrays_of(fit.network),
    }
    for name in ("decoder", "features_from"):
        if getattr(fit, name, None) is not None:
            fields[name] = getattr(fit, name)
    if hasattr(fit, "history_table"):
        fields["history"] = fit.history_table()
    if image is None:
        return fields | _scales_of(fit, (), "pixel")
    colour = image.rgb and fit.n_channels >= 3
    shown = image if image.rgb == colour else image.grey()
    names = COLOURS[: fit.n_channels] if colour else shown.channel_names
    return fields | {
        "channel_names": names if len(names) == fit.n_channels else (),
        "rgb": colour,
        "example": _example_of(shown, fit.ndim)[: fit.n_channels],
        **_scales_of(fit, image.spacing[-fit.ndim :], image.unit),
    }


def _scales_of(fit: FitResult, spacing: tuple[float, ...], unit: str) -> dict[str, Any]:
    """Return the pixel size: the image's, unless the fit's filters were built for another."""
    used = getattr(fit, "spacing", spacing)
    if tuple(used) == spacing or (not used and len(set(spacing)) == 1):
        return {"spacing": spacing, "unit": unit}
    return {"spacing": tuple(map(float, used)), "unit": "pixel"}


def _arrays_of(network: Any) -> dict[str, Array]:
    """Return a torch module's weights, without importing torch."""
    weights = network.state_dict()
    return {name: weights[name].detach().cpu().numpy().copy() for name in weights}


def _example_of(image: Image, ndim: int) -> Array:
    """Crop a piece from the middle of an image: (C, *spatial)."""
    block = "C" + "ZYX"[-ndim:]
    middle = tuple(length // 2 for length in image.loop_shape(block))
    kept = [axis for axis in image.axes if axis in block]
    side = _EXAMPLE_SIDE[ndim]
    spans = [slice(None) if axis == "C" else _middle(image.length(axis), side) for axis in kept]
    piece = read_pixels(image.data[image.block_slices(middle, block)][tuple(spans)])
    return np.moveaxis(piece, kept.index("C"), 0) if "C" in kept else piece[None]


def _middle(length: int, side: int) -> slice:
    start = max(0, (length - side) // 2)
    return slice(start, start + side)


__all__ = ["FitResult", "known_of"]
