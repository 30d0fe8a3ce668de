"""`PretrainedSource`: the network pretrained on photographs as the feature extractor."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unetseg.core.compute.coarse_maps import CoarseMaps
from napari_unetseg.core.compute.rounding import round_up
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.pretrained_features import (
    CONTRAST,
    GREY,
    OUTPUTS,
    PRETRAINED,
    STAGES,
    STEM,
    TAPS,
    PretrainedFeatures,
    colours,
    pretrained_weights,
)
from napari_unetseg.core.nn.inference.network_segmenter import memory_errors
from napari_unetseg.core.nn.networks.pretrained_trunk import PretrainedTrunk

FloatArray = NDArray[np.float32]

BRIGHTNESS = {"percentile": (1.0, 0.0), "mean-std": (0.25, 0.5)}
"""Factor and summand from normalised intensities to about 0 to 1, by the normalisation's method."""


@dataclass(frozen=True, eq=False)
class PretrainedSource:
    """The features of the pretrained network, block by block, plane by plane.

    Parameters
    ----------
    n_channels
        Of the images, see `colours`.
    ndim
        2 or 3.
    method
        How images are normalised, see `NormalisationSpec`.
    device
        Where it runs, in torch's words.

    Raises
    ------
    InputError
        When images are not normalised, or the weights are missing or damaged.
    """

    n_channels: int
    ndim: int
    method: str = "percentile"
    device: str = "cpu"
    features: ClassVar[PretrainedFeatures] = PRETRAINED
    model: ClassVar[None] = None
    _network: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.method not in BRIGHTNESS:
            raise InputError(
                "The pretrained features need normalised images, but the normalisation is "
                f"{self.method}. Choose percentile, or features=bank."
            )
        network: Any = PretrainedTrunk(STEM, STAGES, TAPS).eval().requires_grad_(False)
        weights = pretrained_weights()
        network.load_state_dict({name: torch.tensor(weights[name]) for name in weights})
        network = network.to(self.device, memory_format=torch.channels_last)
        object.__setattr__(self, "_network", network)

    def maps(
        self, block: FloatArray, *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> tuple[CoarseMaps, ...]:
        """Return the features of a block, on the grids of the network's outputs.

        Parameters
        ----------
        block, origin, shape
            See `Segmenter.predict_proba`.

        Raises
        ------
        MemoryError
            When the block is too large.
        """
        sides = block.shape[1:]
        planes = block.reshape(len(block), -1, *sides[-2:])
        with memory_errors(sides), torch.inference_mode():
            found = [self._of_plane(planes[:, z]) for z in range(planes.shape[1])]
        each = [np.stack(of_tap, axis=1) for of_tap in zip(*found, strict=True)]
        flat = (1,) * (self.ndim - 2)
        return tuple(
            CoarseMaps(
                values if self.ndim == 3 else values[:, 0],
                (*flat, tap.step, tap.step),
                (*(0.0,) * len(flat), tap.first, tap.first),
            )
            for values, tap in zip(each, OUTPUTS, strict=True)
        )

    def _of_plane(self, plane: FloatArray) -> list[FloatArray]:
        """Return each output (channels, *coarse) for a plane (C, Y, X)."""
        factor, summand = BRIGHTNESS[self.method]
        mixed = np.tensordot(colours(self.n_channels), plane, 1)
        x = torch.from_numpy((mixed * factor + (summand - GREY)) / np.float32(CONTRAST))[None]
        x = _filled(x, PRETRAINED.multiple(2)).to(self.device)
        outputs = self._network(x.contiguous(memory_format=torch.channels_last))
        return [output[0].contiguous().cpu().numpy() for output in outputs]


def _filled(x: Tensor, multiple: tuple[int, ...]) -> Tensor:
    """Mirror an image (1, C, Y, X) at its end to sides that are multiples, as tiles are."""
    for axis, step in enumerate(multiple, start=2):
        n = x.shape[axis]
        place = torch.arange(round_up(n, step)) % (2 * n)
        x = x.index_select(axis, torch.minimum(place, 2 * n - 1 - place))
    return x


__all__ = ["PretrainedSource"]
