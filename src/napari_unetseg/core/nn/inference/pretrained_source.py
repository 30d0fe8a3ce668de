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
from napari_unetseg.core.nn.networks.pretrained_trunk import PretrainedTrunk, TrunkOfImages

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
        _brightness(self.method)
        network: Any = pretrained_trunk()
        network = network.to(self.device, memory_format=torch.channels_last)
        object.__setattr__(self, "_network", network)

    def maps(
        self, block: FloatArray, *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> tuple[CoarseMaps, ...]:
        """Return the features of a block: one set of maps for each grid of outputs.

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
        flat = (1,) * (self.ndim - 2)
        maps: dict[int, list[FloatArray]] = {}
        for tap, of_tap in zip(OUTPUTS, zip(*found, strict=True), strict=True):
            values = np.stack(of_tap, axis=1) if self.ndim == 3 else of_tap[0]
            maps.setdefault(tap.step, []).append(values)
        return tuple(
            CoarseMaps(
                values[0] if len(values) == 1 else np.concatenate(values),
                (*flat, step, step),
                (*(0.0,) * len(flat), (step - 1) / 2, (step - 1) / 2),
            )
            for step, values in maps.items()
        )

    def _of_plane(self, plane: FloatArray) -> list[FloatArray]:
        """Return each output (channels, *coarse) for a plane (C, Y, X)."""
        factor, summand = _brightness(self.method)
        mixed = np.tensordot(colours(self.n_channels), plane, 1)
        x = torch.from_numpy((mixed * factor + (summand - GREY)) / np.float32(CONTRAST))[None]
        x = _filled(x, PRETRAINED.multiple(2)).to(self.device)
        outputs = self._network(x.contiguous(memory_format=torch.channels_last))
        return [output[0].contiguous().cpu().numpy() for output in outputs]


def pretrained_trunk() -> PretrainedTrunk:
    """Return the network with its weights, on the CPU and in evaluation mode.

    Raises
    ------
    InputError
        When the weights are missing or damaged.
    """
    trunk = PretrainedTrunk(STEM, STAGES, TAPS).eval().requires_grad_(False)
    weights = pretrained_weights()
    trunk.load_state_dict({name: torch.tensor(weights[name]) for name in weights})
    return trunk


def pretrained_module(n_channels: int, method: str) -> TrunkOfImages:
    """Return the features of normalised images as a module that needs torch alone.

    Parameters
    ----------
    n_channels, method
        See `PretrainedSource`.

    Raises
    ------
    InputError
        As `PretrainedSource`.
    """
    factor, summand = _brightness(method)
    mixture = torch.from_numpy(colours(n_channels)) * (factor / CONTRAST)
    step = PRETRAINED.multiple(2)[0]
    return TrunkOfImages(pretrained_trunk(), mixture, (summand - GREY) / CONTRAST, step).eval()


def _brightness(method: str) -> tuple[float, float]:
    if method not in BRIGHTNESS:
        raise InputError(
            "The pretrained features need normalised images, but the normalisation is "
            f"{method}. Choose percentile, or features=bank."
        )
    return BRIGHTNESS[method]


def _filled(x: Tensor, multiple: tuple[int, ...]) -> Tensor:
    """Mirror an image (1, C, Y, X) at its end to sides that are multiples, as tiles are."""
    for axis, step in enumerate(multiple, start=2):
        n = x.shape[axis]
        place = torch.arange(round_up(n, step)) % (2 * n)
        x = x.index_select(axis, torch.minimum(place, 2 * n - 1 - place))
    return x


__all__ = ["PretrainedSource", "pretrained_module", "pretrained_trunk"]
