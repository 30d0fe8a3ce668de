"""Background and threshold as one linear unit: the simplest network.

Subtracting a polynomial and comparing with a level is the same as weighting the intensity and the
position terms of a pixel, adding a bias, and taking the sign: a single dense layer with position
encoding and a sigmoid. Training can therefore start from the background and threshold the user has
tuned.
"""

from dataclasses import dataclass
from math import comb
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.background.polynomial import Polynomial
from napari_unetseg.core.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearUnit:
    """Sigmoid unit over the intensity and the position of a pixel.

    The evidence (the logit) is ``gain * (intensity * z + position(x, y) + bias)``, negated for dark
    objects; the probability of an object is its sigmoid.

    Parameters
    ----------
    intensity
        Weight of the pixel value z.
    position
        The weighted position terms, as a polynomial surface over the image.
    bias
        Constant added to the constant term that `position` may have.
    gain
        Steepness: factor on the weighted sum. It does not move the 0.5 level.
    bright
        Whether objects are above the surface, rather than at or below it.
    """

    intensity: float
    position: Polynomial
    bias: float
    gain: float = 1.0
    bright: bool = True

    @classmethod
    def from_background(
        cls,
        surface: Polynomial,
        value: float,
        *,
        mode: Literal["subtract", "divide"] = "subtract",
        mean: float | None = None,
        bright: bool = True,
        gain: float = 1.0,
    ) -> "LinearUnit":
        """Convert a fitted background and a threshold of the flattened image, exactly.

        Parameters
        ----------
        surface
            The background.
        value
            The polynomial of the background.
        mode
            ``"subtract"``: ``z - surface > value`` as it stands. ``"divide"``: as the surface is
            above 0, ``z / surface * mean > value`` is ``mean * z - value * surface > 0``, which
            is linear in the same terms.
        mean
            Value of a flat image after division; the mean of the surface when missing.
        bright, gain
            See `LinearUnit`.

        Raises
        ------
        InputError
            When the gain is not positive, or the mean of a surface to divide by is not.
        """
        if not gain > 0:
            raise InputError(f"The gain {gain:g} must be above 0.")
        if mode == "subtract":
            return cls(1.0, _scaled(surface, -1.0), -value, gain, bright)
        level = surface.mean() if mean is None else mean
        if not level > 0:
            raise InputError(
                f"The background has a mean of {level:g}; an image can be divided by it only if "
                "the mean is above 0. Subtract it instead."
            )
        return cls(level, _scaled(surface, -value), 0.0, gain, bright)

    def evidence(self, plane: NDArray[Any], height: int = 0) -> Array:
        """Compute the evidence (logit) for an object at every pixel.

        Parameters
        ----------
        plane
            (Y, X), not flattened, of the size of the surface.
        height
            Height of this plane in a surface in x, y and z.

        Returns
        -------
        array (Y, X), float64

        Raises
        ------
        InputError
            When the plane differs in size from the surface.
        """
        if plane.shape != self.position.shape[1:]:
            raise InputError(
                f"The background was fitted to planes of {self.position.shape[1:]} pixels; this "
                f"one has {plane.shape}. Fit a background to this image."
            )
        total = self.intensity * plane.astype(np.float64)
        total += self.position.evaluate(height)
        total += self.bias
        total *= self.gain if self.bright else -self.gain
        return total

    def probability(self, plane: NDArray[Any], height: int = 0) -> Array:
        """Return the sigmoid of the evidence; parameters as in `evidence`."""
        from scipy.special import expit

        probability: Array = expit(self.evidence(plane, height))
        return probability

    def mask(self, plane: NDArray[Any], height: int = 0) -> NDArray[np.bool_]:
        """Return the mask of probabilities above 0.5, equal to background removal and threshold.

        A value exactly at the threshold is background for bright objects and an object for dark
        ones, as in the threshold itself.
        """
        evidence = self.evidence(plane, height)
        mask: NDArray[np.bool_] = evidence > 0 if self.bright else evidence >= 0
        return mask

    def weights(self) -> dict[str, float]:
        """Return every weight by the name of its input, including the gain and the sign.

        Returns
        -------
        dict
            ``"intensity"``, ``"bias"``, and the position terms by their names, such as ``"x"``
            and ``"x*y"``, of positions in pixels.
        """
        sign = self.gain if self.bright else -self.gain
        named = dict(
            zip(self.position.terms.names, self.position.pixel_coefficients(), strict=True)
        )
        bias = self.bias + float(named.pop("1", 0.0))
        return {
            "intensity": sign * self.intensity,
            **{name: sign * float(weight) for name, weight in named.items()},
            "bias": sign * bias,
        }

    def scaled_weights(self) -> dict[tuple[int, int, int], float]:
        """Return the weights for powers of positions scaled to the range -1 to 1.

        These are the coordinates of `napari_unetseg.core.features.position.position_terms`, which
        are -1 and 1 at the outer edges of the image.

        Returns
        -------
        dict
            Weight by the powers of x, y and z, including the gain and the sign. The weight of (0,
            0, 0) includes the bias. Lower powers appear besides the surface's own.
        """
        sign = self.gain if self.bright else -self.gain
        scaled = {(0, 0, 0): sign * self.bias}
        coefficients = self.position.pixel_coefficients()
        for powers, weight in zip(self.position.terms.powers, coefficients, strict=True):
            along = [
                _expanded(power, self.position.shape[2 - axis]) for axis, power in enumerate(powers)
            ]
            for lower in np.ndindex(*(power + 1 for power in powers)):
                share = sign * float(weight)
                for factors, power in zip(along, lower, strict=True):
                    share *= factors[power]
                key = (lower[0], lower[1], lower[2])
                scaled[key] = scaled.get(key, 0.0) + share
        return scaled


def _scaled(surface: Polynomial, factor: float) -> Polynomial:
    return Polynomial(surface.basis, surface.weights * factor)


def _expanded(power: int, length: int) -> list[float]:
    """Expand a power of the pixel number in powers of ``(2 x + 1) / length - 1``."""
    half, centre = length / 2, (length - 1) / 2
    return [comb(power, k) * half**k * centre ** (power - k) for k in range(power + 1)]


__all__ = ["LinearUnit"]
