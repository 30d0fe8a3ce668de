"""Terms are read as typed, and weights mean the same surface in every unit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetseg.core.background.polynomial import Basis, Polynomial, Terms
from napari_unetseg.core.errors import InputError


def explicit(terms: Terms, shape: tuple[int, int, int], steps=(1.0, 1.0, 1.0)) -> np.ndarray:
    """Return the design matrix a textbook would make, (pixels, terms)."""
    z, y, x = (grid.ravel() * step for grid, step in zip(np.indices(shape), steps, strict=True))
    return np.stack([x**a * y**b * z**c for a, b, c in terms.powers], axis=1)


powers = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2))
term_sets = st.lists(powers, min_size=1, max_size=8, unique=True).map(lambda p: Terms(tuple(p)))
shapes = st.tuples(st.integers(3, 5), st.integers(5, 40), st.integers(5, 40))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("constant", ["1"]),
        ("plane", ["1", "x", "y"]),
        ("quadratic", ["1", "x", "y", "x^2", "x*y", "y^2"]),
        ("lecture", ["1", "x", "y", "y^2"]),
        (" Lecture ", ["1", "x", "y", "y^2"]),
        ("1,x,y,x*y", ["1", "x", "y", "x*y"]),
        ("1, x**2 , x^2*y,y²,xy", ["1", "x^2", "x^2*y", "y^2", "x*y"]),
        ("x*x", ["x^2"]),
    ],
)
def test_terms_are_read(text: str, names: list[str]) -> None:
    assert list(Terms.parse(text).names) == names


@pytest.mark.parametrize(("name", "count"), [("cubic", 10), ("quartic", 15)])
def test_presets_are_complete(name: str, count: int) -> None:
    assert len(Terms.parse(name)) == count
    assert len(Terms.parse(name, 3)) == {"cubic": 20, "quartic": 35}[name]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a term"),
        ("1,x,", "is not a term"),
        ("septic", "'septic' is not a term"),
        ("1,2*x", "'2*x' is not a term"),
        ("x*", "'x*' is not a term"),
        ("x+y", "is not a term"),
        ("x^-1", "is not a term"),
        ("1,x,y,x", "x is given twice"),
        ("x*y,y*x", "x*y is given twice"),
        ("1,z", "contains z"),
        ("x^99", "power above"),
    ],
)
def test_what_is_no_term_gets_a_sentence(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        Terms.parse(text)
    assert said in str(caught.value)


@given(term_sets)
def test_names_read_back_as_the_same_terms(terms: Terms) -> None:
    assert Terms.parse(str(terms), 3) == terms


@given(term_sets, shapes, st.randoms(use_true_random=False))
def test_coefficients_make_the_surface_they_say(terms: Terms, shape, random) -> None:
    scaled = np.array([random.uniform(-1, 1) for _ in terms.powers])
    sizes = np.prod(np.array(shape[::-1]) ** np.array(terms.powers, dtype=float), axis=1)
    coefficients = scaled / sizes
    surface = Polynomial.from_pixels(terms, shape, coefficients)
    values = np.stack([surface.evaluate(plane) for plane in range(shape[0])])
    expected = (explicit(terms, shape) @ coefficients).reshape(shape)
    np.testing.assert_allclose(values, expected, atol=1e-9)
    np.testing.assert_allclose(surface.mean(), expected.mean(), atol=1e-9)
    np.testing.assert_allclose(surface.pixel_coefficients() * sizes, scaled, atol=1e-8)
    spacing = (2.0, 0.5, 0.25)
    physical = explicit(terms, shape, spacing) @ surface.physical_coefficients(spacing)
    np.testing.assert_allclose(physical.reshape(shape), expected, atol=1e-8)


def test_two_dimensional_spacing_is_row_then_column() -> None:
    surface = Polynomial.from_pixels(Terms.parse("1,x,y"), (1, 10, 10), [1.0, 2.0, 3.0])
    np.testing.assert_allclose(surface.physical_coefficients((0.5, 0.25)), [1.0, 8.0, 6.0])


def test_functions_are_orthonormal_over_the_image() -> None:
    terms = Terms.parse("quartic")
    basis = Basis(terms, (1, 400, 300))
    values = np.stack(
        [Polynomial(basis, np.eye(len(terms))[k]).evaluate().ravel() for k in range(len(terms))]
    )
    np.testing.assert_allclose(values @ values.T / values.shape[1], np.eye(len(terms)), atol=0.05)


def test_an_axis_of_one_pixel_is_at_zero() -> None:
    surface = Polynomial.from_pixels(Terms.parse("1,x,y"), (1, 1, 4), [5.0, 1.0, 7.0])
    np.testing.assert_allclose(surface.evaluate(), [[5.0, 6.0, 7.0, 8.0]])
