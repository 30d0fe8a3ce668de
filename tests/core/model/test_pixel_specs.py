"""The pixel rungs' options and the table they learn from, without torch."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core.annotation.annotation import IGNORED
from napari_unetseg.core.annotation.pixel_table import PixelTable
from napari_unetseg.core.compute.newton import Problem, minimise
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features.position import position_terms
from napari_unetseg.core.model.pixel_specs import LogisticSpec, MlpSpec, SoftmaxSpec, mixed_inputs
from napari_unetseg.core.progress import Cancelled, StopEarly


def test_options_need_no_torch() -> None:
    code = "import sys; from napari_unetseg.core import features; "
    code += "from napari_unetseg.core.model import pixel_specs; "
    code += "from napari_unetseg.core.annotation import pixel_table; "
    code += "from napari_unetseg.core.compute import newton; "
    code += "print([name for name in ('torch', 'numba', 'napari', 'qtpy') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("spec", [LogisticSpec(), SoftmaxSpec(position="sinusoidal"), MlpSpec()])
@pytest.mark.parametrize("ndim", [2, 3])
def test_knows_its_inputs_and_its_halo(spec: LogisticSpec, ndim: int) -> None:
    block = np.zeros((2, *(12,) * ndim), np.float32)
    assert mixed_inputs(block, spec).whole().shape == (spec.n_inputs(2, ndim), *block.shape[1:])
    assert spec.halo(ndim) == spec.reach(ndim)
    assert spec.multiple(ndim) == (1,) * ndim


def test_position_is_that_of_the_whole_image() -> None:
    spec = LogisticSpec(sigmas="1", position="polynomial", position_order=2)
    block = np.zeros((1, 30, 34), np.float32)
    found = mixed_inputs(block, spec, margin=(8, 8), origin=(-3, 10), shape=(100, 90)).whole()
    expected = position_terms("polynomial", 2, origin=(5, 18), block=(14, 18), shape=(100, 90))
    np.testing.assert_array_equal(found[-5:], expected)


@pytest.mark.parametrize("ndim", [2, 3])
def test_powers_are_those_of_the_terms(ndim: int) -> None:
    spec = LogisticSpec(position="polynomial", position_order=3)
    block = (5, 6, 7)[-ndim:]
    terms = position_terms("polynomial", 3, origin=(0,) * ndim, block=block, shape=block)
    axes = np.meshgrid(*[(2 * np.arange(n) + 1) / n - 1 for n in block], indexing="ij")[::-1]
    for term, powers in zip(terms, spec.position_powers(ndim), strict=True):
        expected = np.prod([axis**p for axis, p in zip(axes, powers, strict=False)], axis=0)
        np.testing.assert_allclose(term, expected, atol=1e-6)


def test_a_hidden_layer_is_a_count_and_a_width() -> None:
    assert MlpSpec(layers=3, width=5).hidden == (5, 5, 5)
    assert LogisticSpec().hidden == ()
    with pytest.raises(InputError, match="degree 7"):
        LogisticSpec().with_position_order(7)


def example_table(n: int = 60, classes: int = 3, seed: int = 0) -> PixelTable:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, n).astype(np.uint8)
    inputs = rng.normal(size=(n, 4)).astype(np.float32)
    return PixelTable(inputs, targets, np.ones(n), classes)


def test_gathers_labelled_pixels_only() -> None:
    inputs = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    targets = np.full((3, 4), IGNORED, np.uint8)
    targets[0, 1], targets[2, 3], targets[1, 0] = 1, 0, 1
    table = PixelTable.gather(inputs, targets, 2)
    assert table.targets.tolist() == [0, 1, 1]
    assert table.inputs.tolist() == [[11, 23], [1, 13], [4, 16]]
    assert table.counts.tolist() == [1, 1, 1]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.lists(st.integers(1, 40), min_size=2, max_size=2))
def test_a_draw_stands_for_all(seed: int, most: list[int]) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.choice(np.array([0, 1, IGNORED], np.uint8), (9, 9))
    inputs = rng.random((3, 9, 9), dtype=np.float32)
    table = PixelTable.gather(inputs, targets, 2, most=most, seed=seed)
    again = PixelTable.gather(inputs, targets, 2, most=most, seed=seed)
    np.testing.assert_array_equal(table.inputs, again.inputs)
    for k in range(2):
        n = int((targets == k).sum())
        assert (table.targets == k).sum() == min(n, most[k])
        assert table.of_classes()[k] == pytest.approx(n)


def test_balance() -> None:
    targets = np.array([0] * 90 + [1] * 10, np.uint8)
    table = PixelTable(np.zeros((100, 1), np.float32), targets, np.ones(100), 2)
    shares = {b: table.weights(b)[targets == 1].sum() for b in ("pixels", "root", "equal")}
    assert shares == pytest.approx({"pixels": 0.1, "root": 0.25, "equal": 0.5})


def test_order_depends_on_the_rows_alone() -> None:
    table = example_table()
    mixed = np.random.default_rng(1).permutation(len(table))
    other = PixelTable(table.inputs[mixed], table.targets[mixed], table.counts[mixed], 3)
    np.testing.assert_array_equal(table.ordered().inputs, other.ordered().inputs)
    np.testing.assert_array_equal(table.ordered().targets, other.ordered().targets)


def test_an_untrainable_table_gets_a_sentence() -> None:
    table = example_table(classes=1)
    with pytest.raises(InputError, match="Only one class"):
        table.check()
    nothing = PixelTable(table.inputs[:0], table.targets[:0], table.counts[:0], 2)
    with pytest.raises(InputError, match="Nothing is annotated"):
        nothing.check()
    broken = example_table()
    broken.inputs[3, 1] = np.nan
    with pytest.raises(InputError, match="NaN"):
        broken.check()


def problem_of(n: int, classes: int, price: float = 1e-2, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n, 5))
    evidence = inputs @ rng.normal(size=(5, classes)) + rng.gumbel(size=(n, classes))
    kinds = evidence.argmax(1)
    units = np.arange(classes) if classes > 2 else np.array([1])
    weights = rng.random(n)
    targets = (kinds[:, None] == units).astype(float)
    return Problem(inputs, targets, weights / weights.sum(), price)


def loss_of(problem: Problem, theta: np.ndarray) -> float:
    evidence = problem.inputs @ theta[:, :-1].T + theta[:, -1]
    if problem.n_units == 1:
        evidence = np.column_stack([np.zeros(len(evidence)), evidence])
        targets = np.column_stack([1 - problem.targets, problem.targets])
    else:
        targets = problem.targets
    each = np.log(np.exp(evidence).sum(1)) - (targets * evidence).sum(1)
    return float(problem.weights @ each + problem.penalty / 2 * (theta[:, :-1] ** 2).sum())


@pytest.mark.parametrize("n", [40, 9000])
@pytest.mark.parametrize("classes", [2, 3])
def test_newton_finds_the_bottom_from_anywhere(n: int, classes: int) -> None:
    problem = problem_of(n, classes)
    n_units = problem.n_units
    found = minimise(problem, np.zeros((n_units, 6)))
    rng = np.random.default_rng(0)
    begun = rng.normal(size=found.shape) * 3
    kept = begun.copy()
    other = minimise(problem, begun)
    np.testing.assert_array_equal(begun, kept)
    np.testing.assert_allclose(other[:, :-1], found[:, :-1], atol=1e-5)
    bottom = loss_of(problem, found)
    for _ in range(20):
        assert loss_of(problem, found + 0.05 * rng.normal(size=found.shape)) > bottom


def test_newton_agrees_with_a_reference() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    problem = problem_of(300, 2)
    found = minimise(problem, np.zeros((1, 6)))
    model = linear_model.LogisticRegression(C=1 / problem.penalty, tol=1e-10, max_iter=1000)
    model.fit(problem.inputs, problem.targets[:, 0], sample_weight=problem.weights)
    np.testing.assert_allclose(found[0, :-1], model.coef_[0], atol=1e-4)
    assert found[0, -1] == pytest.approx(model.intercept_[0], abs=1e-4)


def test_newton_stands_classes_that_part_and_classes_that_are_missing() -> None:
    x = np.linspace(-1, 1, 50)[:, None]
    targets = np.column_stack([x[:, 0] < 0, x[:, 0] >= 0, np.zeros(50)]).astype(float)
    found = minimise(Problem(x, targets, np.full(50, 0.02), 1e-6), np.zeros((3, 2)))
    assert np.isfinite(found).all()
    assert ((x @ found[:, :-1].T + found[:, -1]).argmax(1) == targets.argmax(1)).all()


def test_newton_can_be_stopped_and_cancelled() -> None:
    problem = problem_of(100, 2)
    steps: list[float] = []

    def stop(fraction: float, message: str = "", /) -> None:
        steps.append(fraction)
        if len(steps) == 3:
            raise StopEarly

    def cancel(fraction: float, message: str = "", /) -> None:
        raise Cancelled

    start = np.zeros((1, 6))
    some = minimise(problem, start, progress=stop)
    assert (
        loss_of(problem, minimise(problem, start))
        < loss_of(problem, some)
        < loss_of(problem, start)
    )
    with pytest.raises(Cancelled):
        minimise(problem, start, progress=cancel)
