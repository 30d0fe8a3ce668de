"""Storage of a fitted background as plain data, so that a resumed run need not fit it again."""

from typing import Any

import numpy as np

from napari_unetseg.core.background import (
    Background,
    BackgroundOptions,
    Surface,
    background_from_surfaces,
)
from napari_unetseg.core.background.polynomial import Basis, Polynomial, Terms
from napari_unetseg.core.image import Image

_PLAIN = (
    "n_usable",
    "n_used",
    "rms",
    "flatness_before",
    "flatness_after",
    "mean",
    "floor",
    "ignored",
    "doubt",
)


def surfaces_to_data(background: Background) -> list[dict[str, Any]]:
    """Convert the surfaces to values for JSON, without loss of precision."""
    return [
        {
            "at": dict(surface.at),
            "powers": [list(powers) for powers in surface.polynomial.terms.powers],
            "stiffness": surface.polynomial.terms.stiffness,
            "shape": list(surface.polynomial.shape),
            "weights": surface.polynomial.weights.tolist(),
            **{name: getattr(surface, name) for name in _PLAIN},
        }
        for surface in background.surfaces
    ]


def background_from_data(
    data: list[dict[str, Any]], image: Image, options: BackgroundOptions
) -> Background:
    """Rebuild the background from the values of `surfaces_to_data`.

    Parameters
    ----------
    image, options
        The fitted image, and the options of the fit.
    """
    return background_from_surfaces(image, options, tuple(_surface(surface) for surface in data))


def _surface(data: dict[str, Any]) -> Surface:
    powers = tuple(tuple(powers) for powers in data["powers"])
    terms = Terms(powers, data.get("stiffness", 0.0))
    basis = Basis(terms, tuple(data["shape"]))
    polynomial = Polynomial(basis, np.array(data["weights"], dtype=np.float64))
    # Runs begun by an older version lack the newest fields.
    plain = {name: data[name] for name in _PLAIN if name in data}
    return Surface(at=data["at"], polynomial=polynomial, **plain)


__all__ = ["background_from_data", "surfaces_to_data"]
