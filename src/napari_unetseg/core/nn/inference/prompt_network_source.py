"""Running of the network that outlines the object of a prompt."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unetseg.core.model.shipped_weights import FOLDER, read_weights
from napari_unetseg.core.nn.networks.click_network import ClickNetwork

FloatArray = NDArray[np.float32]

FILE = FOLDER / "click_network.npz"
SHA256 = "f7cd83a3bd43d2dec5cee58227eec82a31a5b7a84debd43e37c60eb6b9397c52"
"""Of the weights file."""


class PromptNetwork:
    """The network with its weights.

    Parameters
    ----------
    weights
        Archive of the weights.
    sha256
        Its hash.

    Raises
    ------
    InputError
        When the weights are missing or damaged.
    """

    def __init__(self, weights: Path = FILE, sha256: str = SHA256) -> None:
        network: Any = ClickNetwork().eval().requires_grad_(False)
        arrays = read_weights(weights, sha256, of="clicked objects", instead="outline by hand")
        network.load_state_dict({name: torch.tensor(arrays[name]) for name in arrays})
        self._network = network.to(memory_format=torch.channels_last)

    def run(self, maps: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the probability of the object, and the expected overlap with the whole of it.

        Parameters
        ----------
        maps
            (N, channels, Y, X), see `maps_of`.

        Returns
        -------
        probability (N, Y, X) and expected intersection over union (N,), float32
        """
        with torch.inference_mode():
            x = torch.from_numpy(maps).contiguous(memory_format=torch.channels_last)
            mask, score = self._network(x)
            return torch.sigmoid(mask).numpy(), torch.sigmoid(score).numpy()


@cache
def prompt_network() -> PromptNetwork:
    """Return the network that comes with the package. Kept.

    Raises
    ------
    InputError
        As `PromptNetwork`.
    """
    return PromptNetwork()


__all__ = ["FILE", "SHA256", "PromptNetwork", "prompt_network"]
