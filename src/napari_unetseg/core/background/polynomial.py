"""Polynomials in pixel position: sets of terms, orthonormal bases, coefficients.

A surface is a weighted sum of monomials ``x**a * y**b * z**c``, where x, y and z count pixels from
the centre of the first pixel. Monomials of pixel numbers are nearly dependent, so systems are never
solved in them: `Basis` turns any set of terms into functions orthonormal over the image, made of
Legendre polynomials of the position scaled to [-1, 1], and `Polynomial` converts their weights
back, exactly, to coefficients in pixels or in physical units.
"""

import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import comb, factorial, prod

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError

Array = NDArray[np.float64]
Shape = tuple[int, int, int]
Powers = tuple[int, int, int]

ORDERS = {"constant": 0, "plane": 1, "quadratic": 2, "cubic": 3, "quartic": 4}
"""Named sets of all terms up to a total power."""

MAX_POWER = 10

_BENDS = 3  # order of the derivatives that a stiff surface avoids

_FACTOR = re.compile(r"([xyz])(?:(?:\^|\*\*)?(\d+))?")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


@dataclass(frozen=True)
class Terms:
    """Set of monomials in x, y and z.

    Parameters
    ----------
    powers
        Power of x, of y and of z in each term.
    stiffness
        How much bends cost in a fit, for each unit of weight: 0 for plain least squares. The cost
        is the mean square of the third derivatives of the surface, along positions scaled to
        [-1, 1], so a quadratic surface costs nothing.
    """

    powers: tuple[Powers, ...]
    stiffness: float = 0.0

    @classmethod
    def parse(cls, text: str, ndim: int = 2) -> "Terms":
        """Parse a set of terms.

        Parameters
        ----------
        text
            One of `ORDERS`, ``"lecture"`` (1, x, y, y²), or a list such as ``"1,x,y,x*y,x^2"``.
        ndim
            2 for terms in x and y, 3 for terms in x, y and z.

        Raises
        ------
        InputError
            When the text cannot be read; the message names the invalid term.
        """
        name = text.strip().lower()
        if name in ORDERS:
            return cls.up_to(ORDERS[name], ndim)
        if name == "lecture":
            return cls(((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 2, 0)))
        powers = tuple(_parse_term(part, ndim) for part in name.split(","))
        for number, term in enumerate(powers):
            if term in powers[:number]:
                raise InputError(f"The term {_name(term)} is given twice in {text!r}.")
        return cls(powers)

    @classmethod
    def up_to(cls, order: int, ndim: int = 2) -> "Terms":
        """Return all terms whose powers add up to at most `order`, lowest first."""
        candidates = itertools.product(range(order + 1), repeat=ndim)
        chosen = sorted(
            (p for p in candidates if sum(p) <= order), key=lambda p: (sum(p), *(-q for q in p))
        )
        return cls(tuple((p[0], p[1], p[2] if ndim == 3 else 0) for p in chosen))

    @property
    def names(self) -> tuple[str, ...]:
        """The terms as text, such as ``("1", "x", "x*y", "y^2")``."""
        return tuple(_name(powers) for powers in self.powers)

    @property
    def degrees(self) -> Powers:
        """The highest power of x, of y and of z."""
        x, y, z = (max(power) for power in zip(*self.powers, strict=True))
        return x, y, z

    def __len__(self) -> int:
        return len(self.powers)

    def __str__(self) -> str:
        return ",".join(self.names)


@dataclass(frozen=True)
class Basis:
    """Functions that span a set of terms and are orthonormal over the box of an image.

    Parameters
    ----------
    terms
        The terms spanned.
    shape
        Planes, rows and columns of the image; one plane for a surface in x and y only.
    Notes
    -----
    Positions are scaled to u in [-1, 1] along each axis. The functions are combinations (QR) of
    products of normalised Legendre polynomials, so any set spans exactly the same space as its
    monomials in pixels, even a set without the lower powers.
    """

    terms: Terms
    shape: Shape
    hull: NDArray[np.intp] = field(init=False, repr=False, compare=False)
    """Powers of u along x, y, z that make up the functions, (n_hull, 3)."""
    functions: Array = field(init=False, repr=False, compare=False)
    """Each function as weights of the powers of u in `hull`, (n_terms, n_hull)."""
    to_pixels: Array = field(init=False, repr=False, compare=False)
    """Matrix from weights of the functions to coefficients in pixels, (n_terms, n_terms)."""
    from_pixels: Array = field(init=False, repr=False, compare=False)
    """The inverse of `to_pixels`."""
    bends: Array = field(init=False, repr=False, compare=False)
    """Matrix of the cost of bends, times the stiffness, (n_terms, n_terms)."""

    def __post_init__(self) -> None:
        hull = _closure(self.terms)
        monomials = np.ones((len(hull), len(self.terms)))
        powers_of_u = np.ones((len(hull), len(hull)))
        scale = np.ones(len(self.terms))
        for axis, degree in enumerate(self.terms.degrees):
            length = self.shape[2 - axis]
            powers = np.array([term[axis] for term in self.terms.powers])
            in_legendre = _monomials_in_legendre(degree, length)
            monomials *= in_legendre[np.ix_(hull[:, axis], powers)]
            powers_of_u *= _legendre_in_powers(degree)[np.ix_(hull[:, axis], hull[:, axis])]
            scale *= float(max(length - 1, 1)) ** -powers
        rotation, triangle = np.linalg.qr(monomials)
        object.__setattr__(self, "hull", hull)
        object.__setattr__(self, "functions", rotation.T @ powers_of_u)
        object.__setattr__(self, "to_pixels", scale[:, None] * np.linalg.inv(triangle))
        object.__setattr__(self, "from_pixels", triangle / scale)
        bends = rotation.T @ _bends(hull) @ rotation if self.terms.stiffness else 0 * triangle
        object.__setattr__(self, "bends", self.terms.stiffness * bends)

    def gram(self, moments: Array) -> Array:
        """Return the Gram matrix of the functions, with the cost of bends.

        Parameters
        ----------
        moments
            Sums of the pixels' weights times powers of u along z, y, x: along each axis, at least
            twice the degree of the terms, plus one.
        """
        z, y, x = (self.hull[:, None, axis] + self.hull[None, :, axis] for axis in (2, 1, 0))
        gram: Array = self.functions @ moments[z, y, x] @ self.functions.T
        return gram + moments[0, 0, 0] * self.bends

    def project(self, moments: Array) -> Array:
        """Sum the functions times values, from the sums of powers of u times values.

        Parameters
        ----------
        moments
            Sums of weights times values times powers of u along z, y, x.
        """
        projected: Array = (
            self.functions @ moments[self.hull[:, 2], self.hull[:, 1], self.hull[:, 0]]
        )
        return projected

    def tensor(self, weights: Array) -> Array:
        """Convert `weights` to coefficients of powers of u along z, y, x."""
        x, y, z = self.terms.degrees
        tensor = np.zeros((z + 1, y + 1, x + 1))
        tensor[self.hull[:, 2], self.hull[:, 1], self.hull[:, 0]] = weights @ self.functions
        return tensor


@dataclass(frozen=True, eq=False)
class Polynomial:
    """Polynomial surface over an image.

    Parameters
    ----------
    basis
        The functions it is a sum of.
    weights
        The weight of each function, (n_terms,).
    """

    basis: Basis
    weights: Array

    @classmethod
    def from_pixels(cls, terms: Terms, shape: Shape, coefficients: Sequence[float]) -> "Polynomial":
        """Build the surface from coefficients in pixels."""
        basis = Basis(terms, shape)
        return cls(basis, basis.from_pixels @ np.asarray(coefficients, dtype=np.float64))

    @property
    def terms(self) -> Terms:
        """The terms of the surface."""
        return self.basis.terms

    @property
    def shape(self) -> Shape:
        """Planes, rows and columns of the surface."""
        return self.basis.shape

    def pixel_coefficients(self) -> Array:
        """Return the coefficient of each term, x, y, z in pixels from the first pixel's centre."""
        coefficients: Array = self.basis.to_pixels @ self.weights
        return coefficients

    def physical_coefficients(self, spacing: Sequence[float]) -> Array:
        """Return the coefficient of each term, with x, y, z in physical units.

        Parameters
        ----------
        spacing
            Size of a pixel along the spatial axes, (z,) y, x.
        """
        steps = np.array([*reversed(spacing), 1.0])[:3]
        powers = np.array(self.terms.powers, dtype=np.float64)
        scale = np.prod(steps**powers, axis=1)
        coefficients: Array = self.pixel_coefficients() / scale
        return coefficients

    def row_coefficients(self, plane: int = 0) -> Array:
        """Return every row of one plane as coefficients of powers of u along x, (rows, n)."""
        n_planes, n_rows, _ = self.shape
        tensor = self._tensor
        z = power_table(scaled_positions(n_planes)[[plane]], len(tensor) - 1)[:, 0]
        y = power_table(scaled_positions(n_rows), tensor.shape[1] - 1)
        # Not a matrix product: its order of summation depends on the number of rows.
        rows: Array = np.einsum("zyx,z,yr->rx", tensor, z, y)
        return rows

    def evaluate(self, plane: int = 0) -> Array:
        """Evaluate one plane of the surface, float64, (rows, columns)."""
        rows = self.row_coefficients(plane)
        values: Array = rows @ power_table(scaled_positions(self.shape[2]), rows.shape[1] - 1)
        return values

    def mean(self) -> float:
        """Return the mean of the surface over all pixels, in closed form."""
        tensor = self._tensor
        for length in self.shape:
            average = power_table(scaled_positions(length), len(tensor) - 1).mean(axis=1)
            tensor = np.tensordot(average, tensor, 1)
        return float(tensor)

    @functools.cached_property
    def _tensor(self) -> Array:
        return self.basis.tensor(self.weights)


def scaled_positions(length: int) -> Array:
    """Return the position of every pixel along an axis, scaled to [-1, 1]; 0 for a single pixel."""
    positions: Array = np.arange(length, dtype=np.float64) - (length - 1) / 2
    return positions / max((length - 1) / 2, 0.5)


def power_table(positions: Array, degree: int) -> Array:
    """Return the powers 0 to `degree` of each position, (degree + 1, n)."""
    table = np.ones((degree + 1, len(positions)))
    for power in range(1, degree + 1):
        table[power] = table[power - 1] * positions
    return table


def _parse_term(text: str, ndim: int) -> Powers:
    term = "".join(text.split()).translate(_SUPERSCRIPTS)
    if term == "1":
        return (0, 0, 0)
    powers = dict.fromkeys("xyz", 0)
    at = 0
    while match := _FACTOR.match(term, at):
        powers[match[1]] += int(match[2] or 1)
        at = match.end()
        if term[at : at + 1] == "*" and at + 1 < len(term):
            at += 1
    if not term or at < len(term):
        raise InputError(
            f"{text.strip()!r} is not a term. Give a comma-separated list such as 1,x,y,x*y,x^2, "
            f"or one of {', '.join(ORDERS)}, lecture."
        )
    if powers["z"] and ndim < 3:
        raise InputError(
            f"The term {term} contains z, but the surface is fitted in x and y only. Fit a "
            "volume, or leave the term out."
        )
    if max(powers.values()) > MAX_POWER:
        raise InputError(f"The term {term} has a power above {MAX_POWER}. Use lower powers.")
    return powers["x"], powers["y"], powers["z"]


def _name(powers: Powers) -> str:
    factors = [
        axis if power == 1 else f"{axis}^{power}"
        for axis, power in zip("xyz", powers, strict=True)
        if power
    ]
    return "*".join(factors) or "1"


def _closure(terms: Terms) -> NDArray[np.intp]:
    """Return the powers of the terms and all lower powers, (n, 3)."""
    below = {
        lower
        for powers in terms.powers
        for lower in itertools.product(*(range(p + 1) for p in powers))
    }
    return np.array(sorted(below), dtype=np.intp)


def _bends(hull: NDArray[np.intp]) -> Array:
    """Return the mean of products of third derivatives of the Legendre products in `hull`."""
    degree = int(hull.max())
    norms = np.sqrt(2 * np.arange(degree + 1) + 1)
    slopes = []
    for order in range(_BENDS + 1):
        # Column k: the derivative of the normalised polynomial k, in normalised polynomials.
        derived = legendre.legder(np.diag(norms), order)
        derived = derived / norms[: len(derived), None]
        slopes.append(derived.T @ derived)
    cost = np.zeros((len(hull), len(hull)))
    for orders in itertools.product(range(_BENDS + 1), repeat=3):
        if sum(orders) == _BENDS:
            share = np.full_like(cost, factorial(_BENDS) / prod(map(factorial, orders)))
            for axis, order in enumerate(orders):
                share *= slopes[order][np.ix_(hull[:, axis], hull[:, axis])]
            cost += share
    return cost


def _legendre_in_powers(degree: int) -> Array:
    """Return the normalised Legendre polynomials as coefficients of powers of u, one per row."""
    rows = np.zeros((degree + 1, degree + 1))
    for k in range(degree + 1):
        rows[k, : k + 1] = legendre.leg2poly([0] * k + [1]) * np.sqrt(2 * k + 1)
    return rows


def _monomials_in_legendre(degree: int, length: int) -> Array:
    """Expand powers of the pixel number over `length - 1` in normalised Legendre, one per column.

    The pixel number is ``(length - 1) / 2 + half * u``, expanded by the binomial theorem.
    """
    span = max(length - 1, 1)
    centre = (length - 1) / 2 / span
    half = max((length - 1) / 2, 0.5) / span
    columns = np.zeros((degree + 1, degree + 1))
    for k in range(degree + 1):
        powers = [comb(k, j) * half**j * centre ** (k - j) for j in range(k + 1)]
        columns[: k + 1, k] = legendre.poly2leg(powers) / np.sqrt(2 * np.arange(k + 1) + 1)
    return columns


__all__ = ["MAX_POWER", "ORDERS", "Basis", "Polynomial", "Terms", "power_table", "scaled_positions"]
