"""Newton's method for weighted multinomial regression, a convex problem with one minimum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.progress import Progress, StopEarly, silent

Doubles = NDArray[np.float64]

_STEPS = 100
_HALVINGS = 30
_ENOUGH = 1e-12
_STALE = 0.1
"""Share of a step's gain that the next one may have at most to use the same Hessian again."""
# BLAS computes products up to this size in the calling thread; for larger ones it starts its pool,
# which slows down all other threads.
_SMALL = 2**17
_SIDE = 48
"""Inputs at most of one side of a product."""
# Keeps biases finite when a class has no pixel, and shares a constant among the classes.
_BIAS_PENALTY = 1e-8


@dataclass(frozen=True, eq=False)
class Problem:
    """Data and penalty of a regression.

    Parameters
    ----------
    inputs
        (n, F), standardised to about mean 0 and standard deviation 1.
    targets
        (n, U): 1 where the pixel is of the unit's class, else 0; one unit for two classes.
    weights
        (n,), with the sum 1.
    penalty
        Factor of half the squared weights, one for all or one for each input, (F,); biases are
        not penalised.
    """

    inputs: Doubles
    targets: Doubles
    weights: Doubles
    penalty: float | Doubles

    @property
    def n_units(self) -> int:
        """1 for a sigmoid, else one for each class."""
        return int(self.targets.shape[1])


def minimise(problem: Problem, start: Doubles, *, progress: Progress = silent) -> Doubles:
    """Find the weights and biases that minimise cross-entropy plus penalty.

    Parameters
    ----------
    problem
        A convex problem with one minimum, for any start and any order of the pixels.
    start
        (U, F + 1), each unit's bias last; not changed.
    progress
        Called before each step. On `StopEarly` the best so far is returned.

    Returns
    -------
    ndarray
        (U, F + 1).

    Notes
    -----
    Newton-Raphson with step halving (Hastie, Tibshirani, Friedman: The Elements of Statistical
    Learning, section 4.4.1). A Hessian costs n (U F)² / 2 products and its inversion; it is used
    again, for n U F products a step, as long as the gain falls tenfold from step to step.
    """
    rows = _Rows.of(problem)
    penalty = np.full(start.shape[1], _BIAS_PENALTY)
    penalty[:-1] = problem.penalty
    theta = start.copy()
    loss, proba = rows.evaluate(theta, penalty)
    inverse: Doubles | None = None
    before = float("inf")
    try:
        for step in range(_STEPS):
            progress(step / _STEPS, "fitting")
            gradient = rows.gradient(proba) + penalty * theta
            gain = float("inf")
            if inverse is not None:
                move = (inverse @ gradient.ravel()).reshape(gradient.shape)
                gain = float((gradient * move).sum())
            if inverse is None or not 0 <= gain <= _STALE * before:
                fresh: Doubles = np.linalg.inv(rows.hessian(proba, penalty)).astype(np.float64)
                inverse = fresh
                move = (fresh @ gradient.ravel()).reshape(gradient.shape)
                gain = float((gradient * move).sum())
            before = gain
            if gain <= _ENOUGH * max(loss, 1e-3):
                break
            for _ in range(_HALVINGS):
                tried = rows.evaluate(theta - move, penalty)
                if tried[0] <= loss - 1e-4 * gain:
                    break
                move, gain = move / 2, gain / 2
            else:
                break
            theta, (loss, proba) = theta - move, tried
    except StopEarly:
        pass
    progress(1.0, "fitting")
    return theta


def mean_cross_entropy(problem: Problem, theta: Doubles) -> float:
    """Compute the mean cross-entropy of weights and biases (U, F + 1), without the penalty."""
    return _Rows.of(problem).evaluate(theta, np.zeros(theta.shape[1]))[0]


@dataclass(frozen=True, eq=False)
class _Rows:
    """The pixels in B blocks: design (B, n, F + 1), targets (B, n, U), weights (B, n)."""

    design: Doubles
    targets: Doubles
    weights: Doubles
    n_units: int

    @classmethod
    def of(cls, problem: Problem) -> "_Rows":
        n, n_features = problem.inputs.shape
        length = max(_SMALL // min(n_features + 1, _SIDE) ** 2, 16)
        n_blocks = -(-n // length)

        def blocks(array: Doubles) -> Doubles:
            padded = np.zeros((n_blocks * length, *array.shape[1:]))
            padded[:n] = array
            return padded.reshape(n_blocks, length, *array.shape[1:])

        design = blocks(np.column_stack([problem.inputs, np.ones(n)]))
        return cls(design, blocks(problem.targets), blocks(problem.weights), problem.n_units)

    def evaluate(self, theta: Doubles, penalty: Doubles) -> tuple[float, Doubles]:
        """Compute the loss, and the probability of each unit's class, (B, n, U)."""
        evidence = self.design @ theta.T
        if self.n_units == 1:
            normaliser = np.logaddexp(0, evidence[..., 0])
        else:
            highest = evidence.max(-1)
            normaliser = highest + np.log(np.exp(evidence - highest[..., None]).sum(-1))
        proba: Doubles = np.exp(evidence - normaliser[..., None])
        fit = (self.weights * (normaliser - (self.targets * evidence).sum(-1))).sum()
        return float(fit + (penalty * theta * theta).sum() / 2), proba

    def gradient(self, proba: Doubles) -> Doubles:
        """Compute the gradient of the loss without the penalty, (U, F + 1)."""
        errors = (proba - self.targets) * self.weights[..., None]
        slope: Doubles = (errors.transpose(0, 2, 1) @ self.design).sum(0)
        return slope

    def hessian(self, proba: Doubles, penalty: Doubles) -> Doubles:
        """Compute the Hessian of the loss and the penalty, (U (F + 1), U (F + 1))."""
        n_terms = len(penalty)
        hessian = np.empty((self.n_units, n_terms, self.n_units, n_terms))
        spans = [slice(a, a + _SIDE) for a in range(0, n_terms, _SIDE)]
        turned = self.design.transpose(0, 2, 1)
        for k in range(self.n_units):
            for m in range(k + 1):
                curvature = self.weights * proba[..., k] * ((k == m) - proba[..., m])
                curved = turned * curvature[:, None]
                block = np.empty((n_terms, n_terms))
                for number, rows in enumerate(spans):
                    for columns in spans[: number + 1]:
                        products = curved[:, rows] @ self.design[:, :, columns]
                        block[rows, columns] = products.sum(0)
                        block[columns, rows] = block[rows, columns].T
                hessian[k, :, m] = hessian[m, :, k] = block
            hessian[k, :, k] += np.diag(penalty)
        return hessian.reshape(self.n_units * n_terms, -1)


__all__ = ["Problem", "mean_cross_entropy", "minimise"]
