"""Augmentation: image, target and weight move together, and a seed says how."""

from dataclasses import replace

import pytest
import torch

from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.nn.training.augment import TrainingBatch, augment

OFF = {"flips": False, "quarter_turns": False, "intensity": 0.0}
EVERYTHING = {
    "rotation": 30.0,
    "scale": 0.2,
    "elastic": 3.0,
    "intensity": 0.2,
    "blur": 1.5,
    "noise": 0.2,
}
SHAPES = [(32, 32), (24, 32), (6, 16, 16)]


def batch(shape: tuple[int, ...], n_terms: int = 0) -> TrainingBatch:
    """Return smooth blobs whose class is whether they are bright, and as many position terms."""
    draw = torch.Generator().manual_seed(1)
    coarse = torch.rand(3, 1, *(4,) * len(shape), generator=draw)
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    image = torch.nn.functional.interpolate(coarse, shape, mode=mode)
    target = (image[:, 0] > 0.5).long()
    image = torch.cat([image, *[image] * n_terms], 1)
    return TrainingBatch(image, target, torch.ones(target.shape), 1)


def run(start: TrainingBatch, seed: int = 0, **options: object) -> TrainingBatch:
    chosen = TrainOptions(**{**OFF, **options})
    return augment(start, chosen, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_chosen_changes_nothing(shape: tuple[int, ...]) -> None:
    start = batch(shape)
    same = run(start)
    for name in ("image", "target", "weight"):
        torch.testing.assert_close(getattr(same, name), getattr(start, name))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", [{"flips": True}, {"quarter_turns": True}])
def test_flips_and_turns_are_exact(shape: tuple[int, ...], options: dict[str, bool]) -> None:
    start = batch(shape)
    moved = run(start, seed=3, **options)
    assert moved.image.shape == start.image.shape
    assert not torch.equal(moved.image, start.image)
    torch.testing.assert_close(moved.target, (moved.image[:, 0] > 0.5).long())
    torch.testing.assert_close(moved.image.flatten(1).sort(1)[0], start.image.flatten(1).sort(1)[0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["rotation", "scale", "elastic"])
def test_warps_move_image_and_target_alike(shape: tuple[int, ...], name: str) -> None:
    start = batch(shape, n_terms=1)
    moved = run(start, **{name: EVERYTHING[name]})
    assert not torch.equal(moved.image, start.image)
    known = moved.weight > 0
    # Nearest against linear reading differ by a pixel along the outline, and nowhere else.
    agrees = moved.target == (moved.image[:, 0] > 0.5).long()
    assert agrees[known].float().mean() > 0.9
    torch.testing.assert_close(moved.image[:, 1], moved.image[:, 0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "options",
    [{"flips": True, "quarter_turns": True}, {"rotation": 30.0}, {"scale": 0.2}, {"elastic": 3.0}],
)
def test_of_an_image_with_a_rim_the_middle_moves_along(
    shape: tuple[int, ...], options: dict[str, bool]
) -> None:
    whole = batch(shape)
    rim = (1, 4, 4)[-len(shape) :]
    inner = (slice(None), *(slice(r, -r) for r in rim))
    start = replace(whole, target=whole.target[inner], weight=whole.weight[inner])
    moved = run(start, **options)
    assert moved.image.shape == whole.image.shape
    assert moved.target.shape == start.target.shape
    assert not torch.equal(moved.image, start.image)
    agrees = moved.target == (moved.image[:, 0] > 0.5).long()[inner]
    assert agrees[moved.weight > 0].float().mean() > 0.9


def test_beyond_the_patch_nothing_counts() -> None:
    shrunk = run(batch((32, 32)), scale=1.0, seed=2)
    assert 0 < shrunk.weight.mean() < 1
    assert set(shrunk.weight.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["intensity", "blur", "noise"])
def test_light_changes_the_image_alone(shape: tuple[int, ...], name: str) -> None:
    start = batch(shape, n_terms=1)
    lit = run(start, **{name: EVERYTHING[name]})
    assert not torch.equal(lit.image[:, :1], start.image[:, :1])
    torch.testing.assert_close(lit.image[:, 1:], start.image[:, 1:])
    torch.testing.assert_close(lit.target, start.target)
    torch.testing.assert_close(lit.weight, start.weight)
    assert lit.image.isfinite().all()
    assert (lit.image - start.image).abs().mean() < 0.2


def test_blurring_keeps_a_constant_and_softens_noise() -> None:
    flat = TrainingBatch(
        torch.full((4, 2, 16, 16), 3.0), torch.zeros(4, 16, 16).long(), torch.ones(4, 16, 16), 2
    )
    torch.testing.assert_close(run(flat, blur=2.0).image, flat.image)
    rough = TrainingBatch(
        torch.randn(8, 1, 32, 32), torch.zeros(8, 32, 32).long(), torch.ones(8, 32, 32), 1
    )
    spread = run(rough, blur=2.0).image.std((1, 2, 3))
    assert (spread < 0.7).any()
    assert (spread > 0.95).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_seed_decides_and_the_start_stays(shape: tuple[int, ...]) -> None:
    start, untouched = batch(shape), batch(shape)
    options = {**EVERYTHING, "flips": True, "quarter_turns": True}
    first, again, other = (run(start, seed, **options) for seed in (5, 5, 6))
    torch.testing.assert_close(first.image, again.image, rtol=0, atol=0)
    torch.testing.assert_close(first.target, again.target)
    assert not torch.equal(first.image, other.image)
    torch.testing.assert_close(start.image, untouched.image, rtol=0, atol=0)
