"""`FrozenNetwork`: a trained UNet as the feature extractor of a pixel model."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unetseg.core.compute.coarse_maps import CoarseMaps
from napari_unetseg.core.features.position import position_terms
from napari_unetseg.core.model.network_features import NetworkFeatures
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.inference.network_segmenter import (
    MEMORY_FORMAT,
    folded,
    memory_errors,
    pad_to_size,
)
from napari_unetseg.core.nn.networks.blocks import Enlarge

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """The features of a trained UNet, block by block.

    What the last level knows comes one for each box of pixels where the network begins with a
    space-to-depth stem or works at a lower resolution. It is interpolated linearly between the
    middles of the boxes; the evidence, which follows, is the network's own, pixel by pixel.

    Parameters
    ----------
    network
        A `UNet`. Not touched: a copy runs.
    features
        What it tells.
    ndim
        2 or 3.
    device
        Where it runs, in torch's words.
    model
        Whose network it is, for those who save what was learnt on it.
    """

    network: nn.Module
    features: NetworkFeatures
    ndim: int
    device: str = "cpu"
    model: TrainedModel | None = None
    _ready: nn.Module = field(init=False, repr=False)
    _enlarge: nn.Module = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ready: Any = folded(self.network).requires_grad_(False)
        ready = ready.to(self.device, memory_format=MEMORY_FORMAT[self.ndim])
        object.__setattr__(self, "_ready", ready)
        object.__setattr__(self, "_enlarge", Enlarge(self.features.spec.box(self.ndim)))

    def __call__(
        self, block: FloatArray, *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> FloatArray:
        """Return the features of each pixel of a block: (count, *spatial), float32.

        Parameters
        ----------
        block, origin, shape
            See `Segmenter.predict_proba`; normalised as the network was trained.

        Raises
        ------
        MemoryError
            When the block is too large.
        """
        sides, spec = block.shape[1:], self.features.spec
        terms = position_terms(
            spec.position, spec.position_order, origin=origin, block=sides, shape=shape
        )
        out = np.empty((self.features.count, *sides), np.float32)
        with memory_errors(sides), torch.inference_mode():
            x = torch.from_numpy(np.concatenate([block, terms])[None]).to(self.device)
            known, evidence = self._told(x.contiguous(memory_format=MEMORY_FORMAT[self.ndim]))
            out[: spec.width] = known[0].cpu().numpy()
            out[spec.width :] = evidence[0].cpu().numpy()
        return out

    def maps(
        self, block: FloatArray, *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> tuple[CoarseMaps, ...]:
        """Return the features of each pixel of a block, see `FeatureSource`."""
        values = self(block, origin=origin, shape=shape)
        return (CoarseMaps(values, (1,) * self.ndim, (0.0,) * self.ndim),)

    def _told(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the last level knows and the evidence, both of the image's sides."""
        ready: Any = self._ready
        sides = tuple(x.shape[2:])
        boxes = zip(sides, self.features.spec.box(self.ndim), strict=True)
        known = ready.features(x)
        evidence = pad_to_size(ready.head(known), sides, ready.offset)
        small = pad_to_size(known, tuple(side // box for side, box in boxes), ready.body.offset)
        return self._enlarge(small), evidence


__all__ = ["FrozenNetwork"]
