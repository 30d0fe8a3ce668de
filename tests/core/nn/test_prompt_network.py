"""The network that comes with the package for clicks: its file, and objects it was never shown."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.nn.inference.prompt_network_source import FILE, SHA256, PromptNetwork
from napari_unetseg.core.prompts.open_prompts import open_prompts
from napari_unetseg.core.prompts.prompt import Prompt, ProposedObject

pytestmark = pytest.mark.usefixtures("one_thread")


def nuclei(size: int = 400) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """Return ellipses of one size on a noisy field, and their ids."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:size, :size]
    ids = np.zeros((size, size), np.int32)
    for number, (row, column) in enumerate(np.ndindex(4, 4), 1):
        middle = 50 + 100 * np.array((row, column)) + rng.integers(-12, 13, 2)
        turn = rng.uniform(0, np.pi)
        along = np.cos(turn) * (y - middle[0]) + np.sin(turn) * (x - middle[1])
        across = np.cos(turn) * (x - middle[1]) - np.sin(turn) * (y - middle[0])
        ids[(along / 22) ** 2 + (across / 15) ** 2 < 1] = number
    image = 400 + 600 * (ids > 0) + rng.normal(0, 40, ids.shape)
    return image.astype(np.uint16), ids


def overlap(found: ProposedObject | None, truth: NDArray[np.bool_]) -> float:
    if found is None:
        return 0.0
    mask = found.whole(truth.shape)
    return float((mask & truth).sum() / (mask | truth).sum())


def test_one_click_outlines_each_object_in_both_contrasts_and_the_background_is_none() -> None:
    image, ids = nuclei()
    for shown in (image, 2000 - image):
        prompts = open_prompts(Image.of(shown))
        for number in (1, 7, 16):
            y, x = np.argwhere(ids == number).mean(0)
            assert overlap(prompts.propose(Prompt(((y, x),))), ids == number) > 0.8
        assert prompts.propose(Prompt(((100.0, 100.0),))) is None


def test_a_click_outside_takes_away_and_one_inside_adds() -> None:
    image, ids = nuclei()
    prompts = open_prompts(Image.of(image))
    y, x = np.argwhere(ids == 7).mean(0)
    prompt = Prompt(((y, x),))
    first = prompts.propose(prompt)
    assert first is not None
    fewer = prompts.propose(prompt.with_outside((y, x + 10)), previous=first)
    assert fewer is not None
    whole = fewer.whole(ids.shape)
    assert whole[round(y), round(x)]
    assert not whole[round(y), round(x + 10)]


def test_a_box_finds_its_object() -> None:
    image, ids = nuclei()
    rows, columns = np.nonzero(ids == 6)
    box = (rows.min() - 2.0, columns.min() - 2.0, rows.max() + 2.0, columns.max() + 2.0)
    assert overlap(open_prompts(Image.of(image)).propose(Prompt(box=box)), ids == 6) > 0.8


def test_a_click_in_the_middle_of_a_huge_image_gives_the_same_as_in_a_small_one() -> None:
    image, _ = nuclei()
    wide = np.full((4000, 4000), 400, np.uint16)
    wide[2000:2400, 1000:1400] = image
    parts = [np.pad(image, 0), wide]
    found = [
        open_prompts(Image.of(part), size=40).propose(Prompt(((150.0 + y, 150.0 + x),)))
        for part, (y, x) in zip(parts, ((0, 0), (2000, 1000)), strict=True)
    ]
    assert found[0] is not None
    assert found[1] is not None
    np.testing.assert_array_equal(found[0].mask, found[1].mask)
    assert found[1].origin == (found[0].origin[0] + 2000, found[0].origin[1] + 1000)


def test_the_weights_are_checked(tmp_path: Path) -> None:
    data = FILE.read_bytes()
    assert len(data) < 3e6
    assert hashlib.sha256(data).hexdigest() == SHA256
    damaged = tmp_path / "click_network.npz"
    damaged.write_bytes(data[:-10])
    with pytest.raises(InputError, match="damaged"):
        PromptNetwork(damaged)
    with pytest.raises(InputError, match="cannot be read"):
        PromptNetwork(tmp_path / "missing.npz")
