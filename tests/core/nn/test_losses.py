"""Losses: by hand, and blind to what does not count."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core.nn.training.losses import (
    cross_entropy,
    dice_loss,
    guess_loss,
    segmentation_loss,
)

# Evidence (1, 2, 1, 4) of four pixels: probabilities of class 1 are 1/2, 3/4, 1/4, 9/10.
ODDS = torch.tensor([1.0, 3.0, 1 / 3, 9.0]).log()
EVIDENCE = torch.stack([torch.zeros(4), ODDS])[None, :, None]
TARGET = torch.tensor([[[0, 1, 1, 0]]])


def test_cross_entropy_by_hand() -> None:
    weight = torch.tensor([[[1.0, 2.0, 1.0, 0.0]]])
    want = (math.log(2) + 2 * math.log(4 / 3) + math.log(4)) / 4
    assert float(cross_entropy(EVIDENCE, TARGET, weight)) == pytest.approx(want, rel=1e-5)


def test_dice_by_hand() -> None:
    weight = torch.tensor([[[1.0, 2.0, 1.0, 0.0]]])
    # Class 0: truth 1, said 1/2 + 2/4 + 3/4 = 1.75, overlap 1/2.
    # Class 1: truth 3, said 1/2 + 6/4 + 1/4 = 2.25, overlap 6/4 + 1/4 = 1.75.
    want = 1 - (2 * 0.5 / 2.75 + 2 * 1.75 / 5.25) / 2
    assert float(dice_loss(EVIDENCE, TARGET, weight)) == pytest.approx(want, rel=1e-5)


def test_a_class_that_is_not_there_does_not_count() -> None:
    weight = torch.tensor([[[1.0, 0.0, 0.0, 1.0]]])  # class 0 alone
    want = 1 - 2 * 0.6 / (2 + 0.6)
    assert float(dice_loss(EVIDENCE, TARGET, weight)) == pytest.approx(want, rel=1e-5)


def test_a_guess_by_hand() -> None:
    true = torch.tensor([0.5, 0.5, 1.0, 0.0])
    counts = torch.tensor([1.0, 2.0, 1.0, 0.0])
    guess = torch.stack([1 - true, true, counts])[None, :, None]
    second = math.log(0.5 / 0.25) / 2 + math.log(0.5 / 0.75) / 2
    want = (0 + 2 * second + math.log(4)) / 4
    assert float(guess_loss(EVIDENCE, guess)) == pytest.approx(want, rel=1e-5)


def test_the_same_as_guessed_is_no_loss() -> None:
    guess = torch.cat([EVIDENCE.softmax(1), torch.ones(1, 1, 1, 4)], 1)
    assert float(guess_loss(EVIDENCE, guess)) == pytest.approx(0, abs=1e-6)
    assert float(guess_loss(EVIDENCE + 3, guess)) == pytest.approx(0, abs=1e-6)
    nothing = torch.cat([guess[:, :2], torch.zeros(1, 1, 1, 4)], 1)
    assert float(guess_loss(-EVIDENCE, nothing)) == 0


def test_mixing() -> None:
    weight = torch.ones(1, 1, 4)
    ce, dice = cross_entropy(EVIDENCE, TARGET, weight), dice_loss(EVIDENCE, TARGET, weight)
    for share in (0.0, 0.3, 1.0):
        mixed = segmentation_loss(EVIDENCE, TARGET, weight, dice=share)
        torch.testing.assert_close(mixed, share * dice + (1 - share) * ce)


def test_nothing_that_counts_is_no_loss() -> None:
    evidence = EVIDENCE.clone().requires_grad_()
    loss = segmentation_loss(evidence, torch.full((1, 1, 4), 255), torch.zeros(1, 1, 4))
    loss.backward()
    assert loss.item() == 0
    assert evidence.grad is not None
    assert not evidence.grad.any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4), st.sampled_from([(5, 6), (3, 4, 5)]))
def test_pixels_without_weight_reach_nothing(seed: int, k: int, shape: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(seed)
    evidence = torch.randn(2, k, *shape, generator=draw)
    target = torch.randint(0, k, (2, *shape), generator=draw)
    weight = (torch.rand(2, *shape, generator=draw) < 0.5).float()
    other = torch.where(weight[:, None] > 0, evidence, 100 * torch.randn(evidence.shape))
    wrong = torch.where(weight > 0, target, 255)
    torch.testing.assert_close(
        segmentation_loss(evidence, target, weight), segmentation_loss(other, wrong, weight)
    )


def test_perfect_evidence_costs_nothing() -> None:
    sure = 50 * (torch.nn.functional.one_hot(TARGET, 2).movedim(-1, 1).float() - 0.5)
    assert float(segmentation_loss(sure, TARGET, torch.ones(1, 1, 4))) == pytest.approx(0, abs=1e-5)
