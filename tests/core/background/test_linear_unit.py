"""Background and threshold are one linear unit: same mask, by weights alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.background.linear_unit import LinearUnit
from napari_unetseg.core.background.polynomial import Polynomial, Terms
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.threshold import ThresholdOptions, threshold

SHAPE = (37, 52)


def uneven(seed: int) -> np.ndarray:
    """Return bright and dark spots on a curved background."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    plane = 400 + 3.0 * x - 2.0 * y + 0.05 * x * y + rng.normal(0, 8, SHAPE)
    plane[5:12, 10:20] += 90
    plane[22:30, 30:41] -= 90
    return plane


@pytest.mark.parametrize("bright", [True, False])
@pytest.mark.parametrize("mode", ["subtract", "divide"])
@pytest.mark.parametrize("terms", ["plane", "quadratic", "lecture", "quartic"])
@pytest.mark.parametrize("gain", [1.0, 0.02])
def test_its_half_level_is_the_mask_of_the_threshold(terms, mode, bright, gain):
    image = Image.of(uneven(1))
    background = fit_background(image, BackgroundOptions(terms=terms, mode=mode))
    flat = background.flatten(image)
    options = ThresholdOptions(objects="bright" if bright else "dark")
    found = threshold(flat, options)
    (level,) = found.values[0]
    surface = background.surfaces[0]
    unit = LinearUnit.from_background(
        surface.polynomial, level, mode=mode, mean=surface.mean, bright=bright, gain=gain
    )
    mask = unit.mask(image.data)
    assert np.array_equal(mask, found.labels > 0)
    assert 0 < mask.mean() < 1
    # The unit shifted by a fraction of the noise finds something else.
    shifted = LinearUnit.from_background(
        surface.polynomial, level + 2 * flat.data.std(), mode=mode, mean=surface.mean, bright=bright
    )
    assert not np.array_equal(shifted.mask(image.data), mask)
    probability = unit.probability(image.data)
    assert np.array_equal(probability > 0.5, mask)
    assert ((probability >= 0) & (probability <= 1)).all()


@given(
    st.lists(st.integers(-8, 8), min_size=3, max_size=3),
    st.integers(-20, 20),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_it_is_exact_where_arithmetic_is(coefficients, value, bright, seed):
    # Odd sides and powers of two: every number of the basis is a short binary fraction, so that
    # pixels exactly at the threshold are told apart too.
    shape = (1, 9, 17)
    surface = Polynomial.from_pixels(Terms.parse("plane"), shape, coefficients)
    plane = np.random.default_rng(seed).integers(-60, 60, shape[1:])
    y, x = np.indices(shape[1:])
    flat = plane - (coefficients[0] + coefficients[1] * x + coefficients[2] * y)
    unit = LinearUnit.from_background(surface, value, bright=bright)
    evidence = np.where(bright, 1, -1) * (flat - value)
    assert np.allclose(unit.evidence(plane), evidence, atol=1e-9)
    clear = np.abs(evidence) > 0
    expected = flat > value if bright else flat <= value
    assert np.array_equal(unit.mask(plane)[clear], expected[clear])


@pytest.mark.parametrize("bright", [True, False])
def test_a_pixel_at_the_threshold_is_an_object_only_when_dark(bright):
    surface = Polynomial.from_pixels(Terms.parse("constant"), (1, 2, 3), [0.0])
    unit = LinearUnit.from_background(surface, 5.0, bright=bright)
    plane = np.array([[4, 5, 6], [5, 5, 5]])
    assert np.array_equal(unit.mask(plane), plane > 5 if bright else plane <= 5)


@pytest.mark.parametrize("bright", [True, False])
def test_named_weights_give_the_evidence(bright):
    terms = Terms.parse("1,x,y,x*y,y^2")
    surface = Polynomial.from_pixels(terms, (1, *SHAPE), [400, 3, -2, 0.05, 0.01])
    unit = LinearUnit.from_background(surface, 30.0, bright=bright, gain=0.5)
    weights = unit.weights()
    plane = uneven(2)
    y, x = np.indices(SHAPE).astype(float)
    inputs = {"intensity": plane, "x": x, "y": y, "x*y": x * y, "y^2": y * y, "bias": 1.0}
    assert weights.keys() == inputs.keys()
    total = sum(weights[name] * inputs[name] for name in weights)
    assert np.allclose(total, unit.evidence(plane))
    assert weights["intensity"] == (0.5 if bright else -0.5)
    assert weights["bias"] == pytest.approx(-430 * weights["intensity"])


def test_scaled_weights_give_the_evidence():
    surface = Polynomial.from_pixels(Terms.parse("quadratic"), (1, *SHAPE), [9, 3, -2, 1, 2, -1])
    unit = LinearUnit.from_background(surface, 4.0, gain=2.0)
    y, x = (2 * (np.arange(n) + 0.5) / n - 1 for n in SHAPE)
    total = 2.0 * uneven(3)
    for (a, b, c), weight in unit.scaled_weights().items():
        assert c == 0
        total = total + weight * x**a * y[:, None] ** b
    assert np.allclose(total, unit.evidence(uneven(3)))


def test_planes_of_a_volume_have_their_own_height():
    surface = Polynomial.from_pixels(Terms.parse("1,z", 3), (4, 2, 2), [1.0, 10.0])
    unit = LinearUnit.from_background(surface, 0.0)
    assert np.allclose(unit.evidence(np.zeros((2, 2)), 3), -31)


def test_what_cannot_be_converted_is_said():
    surface = Polynomial.from_pixels(Terms.parse("plane"), (1, 4, 4), [-5.0, 0.0, 0.0])
    with pytest.raises(InputError, match="above 0"):
        LinearUnit.from_background(surface, 1.0, gain=0.0)
    with pytest.raises(InputError, match="Subtract"):
        LinearUnit.from_background(surface, 1.0, mode="divide")
    with pytest.raises(InputError, match="pixels"):
        LinearUnit.from_background(surface, 1.0).evidence(np.zeros((4, 5)))
