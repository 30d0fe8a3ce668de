"""Familiarity: activations as in the training are familiar, others are less so."""

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from napari_unetseg.core.nn.inference.familiarity import familiarity  # noqa: E402

NOWHERE = torch.zeros(32, 40)


@pytest.fixture
def block():
    return torch.randn(1, 3, 32, 40, generator=torch.Generator().manual_seed(0))


def network(block):
    """Return a normalisation that keeps the statistics of a block."""
    norm = nn.BatchNorm2d(3)
    norm.running_mean.copy_(block.mean((0, 2, 3)))
    norm.running_var.copy_(block.var((0, 2, 3)))
    return nn.Sequential(norm, nn.ReLU()).eval()


def test_the_images_of_the_training_are_familiar(block):
    assert familiarity(network(block), block, NOWHERE) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("change", [lambda x: x + 1, lambda x: 3 * x, lambda x: x / 3])
def test_others_are_less_so(block, change):
    known = network(block)
    assert familiarity(known, change(block), NOWHERE) < 0.7
    assert not known[0]._forward_hooks, "nothing stays behind"


def test_few_objects_are_weighted_up(block):
    found = NOWHERE.clone()
    found[:2, :4] = 1
    bright = block.clone()
    bright[..., :16, :] += 3
    few = block.clone()
    few[..., :2, :4] += 3
    known = network(bright)
    assert familiarity(known, few, found) > familiarity(known, few, NOWHERE) + 0.05


def test_without_statistics_everything_is_familiar(block):
    assert familiarity(nn.Sequential(nn.Conv2d(3, 2, 1)), block, NOWHERE) == 1
