"""The network for prompts: its inputs, its scales, and the same function without normalisations."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.nn.networks.click_network import N_INPUTS, ClickNetwork, without_norms
from napari_unetseg.core.prompts.click_maps import maps_of
from napari_unetseg.core.prompts.crops import (
    SIDE,
    CropWindow,
    PlaneReader,
    agreement,
    from_crop,
    fullest_part,
    resampling,
    to_crop,
)
from napari_unetseg.core.prompts.network_prompts import NetworkPrompts
from napari_unetseg.core.prompts.prompt import Prompt, ProposedObject

NO_POINTS = np.zeros((0, 2))


class BrightPixels:
    """Outlines bright pixels, sure of them where they fill a fourteenth to a third of a crop."""

    def __init__(self) -> None:
        self.seen: list[NDArray[np.float32]] = []

    def run(self, maps: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.seen.append(maps)
        found = (maps[:, 0] > 0.5).astype(np.float32)
        share = found.mean((1, 2))
        return found, np.where((share > 1 / 14) & (share < 1 / 3), 0.9, 0.1).astype(np.float32)


def disc(size: int, middle: tuple[int, int], radius: float) -> NDArray[np.float32]:
    y, x = np.mgrid[:size, :size]
    return (np.hypot(y - middle[0], x - middle[1]) < radius).astype(np.float32)


@pytest.mark.parametrize("radius", [8, 30, 90])
def test_the_scale_of_the_object_is_found(radius: float) -> None:
    image = disc(512, (240, 260), radius)
    found = NetworkPrompts(Image.of(image), network=BrightPixels()).propose(Prompt(((240, 260),)))
    assert found is not None
    mask = found.whole(image.shape)
    assert (mask & (image > 0)).sum() / (mask | (image > 0)).sum() > 0.9
    assert found.score == pytest.approx(0.9)


def test_an_outline_that_others_agree_with_is_taken() -> None:
    class Alone(BrightPixels):
        """Expects a little more of the whole crop, in the widest window."""

        def run(self, maps: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            found, scores = super().run(maps)
            widest = np.arange(len(maps)) % (len(maps) // 2) == len(maps) // 2 - 1
            found[widest] = 1
            return found, np.where(widest, np.float32(0.95), scores)

    image = disc(512, (240, 260), 30)
    found = NetworkPrompts(Image.of(image), network=Alone()).propose(Prompt(((240, 260),)))
    assert found is not None
    assert found.area == pytest.approx(np.pi * 30**2, rel=0.1)
    assert found.score == pytest.approx(0.95)


def test_the_same_object_in_two_windows_agrees() -> None:
    plane = disc(300, (150, 140), 20)
    windows = [CropWindow.around((148, 143), side) for side in (60, 90, 240)]
    crops = [to_crop(plane[w.clipped(plane.shape)], w, plane.shape) for w in windows]
    for k in (1, 2):
        assert agreement(crops[0], windows[0], crops[k], windows[k]) > 0.85
        assert agreement(crops[0], windows[0], 1 - crops[k], windows[k]) < 0.1
    nothing = np.zeros_like(crops[0])
    assert agreement(nothing, windows[0], nothing, windows[1]) == 0


def test_a_click_that_met_nothing_gives_nothing_but_a_second_one_insists() -> None:
    image = disc(512, (240, 260), 30)
    image[0, 0] = 1
    prompts = NetworkPrompts(Image.of(image), network=BrightPixels())
    assert prompts.propose(Prompt(((450.0, 30.0),))) is None
    two = Prompt(((450.0, 30.0), (452.0, 32.0)))
    assert prompts.propose(two) is not None


def test_the_object_so_far_and_all_clicks_reach_the_network() -> None:
    image, network = disc(200, (100, 100), 20), BrightPixels()
    prompts = NetworkPrompts(Image.of(image), network=network)
    so_far = ProposedObject(np.ones((10, 20), bool), (95, 90), 0.5)
    prompt = Prompt(((100.0, 100.0),), ((92.0, 106.0),), (70.0, 70.0, 130.0, 130.0))
    prompts.propose(prompt, previous=so_far)
    maps = network.seen[-1][0]
    assert maps.shape == (N_INPUTS, SIDE, SIDE)
    for number in (4, 5, 6, 7, 8, 9):
        assert maps[number].max() > 0.9, number
    # The click outside is above and right of the one inside.
    inside, outside = (np.argwhere(maps[number] > 0).mean(0) for number in (5, 6))
    assert outside[0] < inside[0]
    assert outside[1] > inside[1]
    # The object so far is twice as wide as high.
    rows, columns = (np.ptp(at) + 1 for at in np.nonzero(maps[8] > 0.5))
    assert columns / rows == pytest.approx(2, rel=0.15)


def test_a_crop_and_back_keeps_the_place() -> None:
    plane = np.zeros((300, 300), np.float32)
    plane[100:140, 200:230] = 1
    for window in (CropWindow(80, 180, 64), CropWindow(-40, 60, 256), CropWindow(90, 190, 96)):
        part = window.clipped(plane.shape)
        crop = to_crop(plane[part], window, plane.shape)
        wrong = (from_crop(crop, window, part) > 0.5) != (plane[part] > 0)
        assert wrong.sum() < 0.1 * 40 * 30
        near = fullest_part(crop, window, [(110, 205)], plane.shape)
        assert near[0].start <= 100
        assert near[0].stop >= 140
        assert (from_crop(crop, window, near) > 0.5).sum() == pytest.approx(1200, rel=0.1)
    np.testing.assert_allclose(resampling(37, 96).sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(resampling(961, 96).sum(1), 1, rtol=1e-5)


def test_large_numbers_keep_their_contrast_and_nan_does_no_harm() -> None:
    image = disc(120, (60, 60), 20).astype(np.float64)
    shifted = Image.of(image * 3 + 1e5)
    plain = PlaneReader(Image.of(image)).crop(CropWindow(10, 10, 100))
    crop = PlaneReader(shifted).crop(CropWindow(10, 10, 100))
    assert plain is not None
    assert crop is not None
    np.testing.assert_allclose(crop.pixels, plain.pixels, atol=0.02)
    image[70:75, 70:75] = np.nan
    holed = PlaneReader(Image.of(image)).crop(CropWindow(10, 10, 100))
    assert holed is not None
    assert np.isfinite(maps_of(holed, np.array([[48.0, 48.0]]), NO_POINTS, None, None)).all()


def test_without_normalisations_the_network_is_the_same() -> None:
    torch.manual_seed(0)
    widths = (8, 8, 8, 8)
    network = ClickNetwork(norm=True, widths=widths)
    x = torch.randn(4, N_INPUTS, 32, 32)
    network(x)
    network.eval()
    with torch.inference_mode():
        mask, score = network(x)
        same_mask, same_score = without_norms(network, widths)(x)
    assert mask.shape == (4, 32, 32)
    torch.testing.assert_close(same_mask, mask, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(same_score, score, rtol=1e-4, atol=1e-5)
