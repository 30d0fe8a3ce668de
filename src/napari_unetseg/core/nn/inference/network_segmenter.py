"""`NetworkSegmenter`: a network of torch behind the seam that everything else sees."""

import copy
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unetseg.core.features.position import position_terms
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.nn.inference.row_strips import in_row_strips
from napari_unetseg.core.nn.inference.runtime import keep_freed_memory
from napari_unetseg.core.nn.networks.output_heads import probabilities
from napari_unetseg.core.objects.decoders import DecoderSpec

MEMORY_FORMAT = {2: torch.channels_last, 3: torch.channels_last_3d}
"""The order of a block's numbers in memory that convolutions run fastest on."""


@dataclass(frozen=True, eq=False)
class NetworkSegmenter:
    """A trained network as a `Segmenter`.

    Parameters
    ----------
    network
        Maps (N, inputs, *spatial) to evidence (N, classes, *spatial), or to that of foreground
        and of the decoder's maps. May leave out the rim, then has an ``offset``. Not touched: a
        copy runs, so that training may go on meanwhile.
    spec
        What it was built from.
    classes
        Names of the classes.
    n_channels
        Channels of the image.
    ndim
        2 or 3.
    device
        Where it runs, in torch's words.
    flips
        Predict every mirror image of each block as well and take the mean: somewhat better, four
        times (stacks: eight times) slower.
    decoder
        What the network's outputs after the foreground mean, if it learnt objects.
    """

    network: nn.Module
    spec: ModelSpec
    classes: tuple[str, ...]
    n_channels: int
    ndim: int
    device: str = "cpu"
    flips: bool = False
    decoder: DecoderSpec | None = None
    halo: tuple[int, ...] = field(init=False)
    multiple: tuple[int, ...] = field(init=False)
    border: tuple[int, ...] = field(init=False)
    shrink: tuple[int, ...] = field(init=False)
    memory_per_pixel: float = field(init=False)
    _ready: nn.Module = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ready = placed(folded(self.network), self.device)
        if self.device == "cpu":
            keep_freed_memory()
            ready = in_row_strips(ready)
        object.__setattr__(self, "_ready", ready)
        memory = getattr(self.spec, "memory_per_pixel", 1.0) if self.device == "cpu" else 1.0
        object.__setattr__(self, "memory_per_pixel", memory)
        for name in ("halo", "multiple", "border", "shrink"):
            object.__setattr__(self, name, getattr(self.spec, name)(self.ndim))

    def predict_proba(
        self,
        block: NDArray[np.float32],
        *,
        origin: tuple[int, ...],
        shape: tuple[int, ...],
    ) -> NDArray[np.float32]:
        """Return the probability of each class in each pixel; see `Segmenter`."""
        return self.predict_maps(block, origin=origin, shape=shape)[: len(self.classes)]

    def predict_maps(
        self,
        block: NDArray[np.float32],
        *,
        origin: tuple[int, ...],
        shape: tuple[int, ...],
    ) -> NDArray[np.float32]:
        """Return the probability of each class, then the decoder's maps; see `ObjectSegmenter`."""
        terms = position_terms(
            self.spec.position,
            self.spec.position_order,
            origin=origin,
            block=block.shape[1:],
            shape=shape,
        )
        with memory_errors(block.shape[1:]), torch.inference_mode():
            # torch knows no negative strides.
            copies = len(terms) > 0 or min(block.strides) < 0
            whole = np.concatenate([block, terms]) if copies else block
            x = torch.from_numpy(whole[None]).to(self.device)
            proba: NDArray[np.float32] = self._proba(x)[0].cpu().numpy()
        return proba

    def _proba(self, x: Tensor) -> Tensor:
        if not self.flips:
            return self._one_way(x)
        axes = range(2, 2 + self.ndim)
        views = [c for n in range(len(axes) + 1) for c in itertools.combinations(axes, n)]
        total = sum(self._one_way(x.flip(view)).flip(view) for view in views)
        return torch.as_tensor(total) / len(views)

    def _one_way(self, x: Tensor) -> Tensor:
        evidence = self._ready(x.contiguous(memory_format=MEMORY_FORMAT[self.ndim]))
        proba, sides = probabilities(evidence, self.decoder), tuple(x.shape[2:])
        if proba.shape[2:] == sides:
            return proba
        return pad_to_size(proba, sides, self._ready.offset)  # type: ignore[arg-type]


def pad_to_size(inner: Tensor, sides: Sequence[int], offset: Sequence[int]) -> Tensor:
    """Give back the rim that unpadded convolutions left out, as zeros.

    Parameters
    ----------
    inner
        (N, any, *spatial), what was computed.
    sides
        Sides of the whole.
    offset
        Place of the first computed pixel in the whole, per axis.
    """
    ends: list[int] = []
    for start, have, want in zip(offset, inner.shape[2:], sides, strict=True):
        ends = [start, want - start - have, *ends]
    return F.pad(inner, ends) if any(ends) else inner


@contextmanager
def memory_errors(sides: Sequence[int]) -> Iterator[None]:
    """Turn torch's ways of saying that a block does not fit the memory into `MemoryError`."""
    try:
        yield
    except RuntimeError as error:
        if _out_of_memory(error):
            raise MemoryError(f"A block of {tuple(sides)} does not fit.") from error
        raise


def placed(network: nn.Module, device: str | torch.device) -> nn.Module:
    """Move a network to a device, its kernels in the order that convolutions run fastest on."""
    kernels = max((weights.ndim - 2 for weights in network.parameters()), default=0)
    layout: Any = {"memory_format": MEMORY_FORMAT.get(kernels)}
    return network.to(device, **layout)


def folded(network: nn.Module) -> nn.Module:
    """Return a copy for prediction, its normalisations multiplied into the convolutions.

    With the statistics at rest a normalisation is one factor and one shift a channel, which the
    convolution before it can apply for nothing.
    """
    copied = copy.deepcopy(network).eval()
    for chain in copied.modules():
        if isinstance(chain, nn.Sequential):
            for place, (before, norm) in enumerate(itertools.pairwise(chain)):
                if isinstance(getattr(norm, "running_var", None), Tensor):
                    _fold(before, norm)
                    chain[place + 1] = nn.Identity()
    return copied


@torch.no_grad()
def _fold(convolution: Any, norm: Any) -> None:
    factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    before = 0 if convolution.bias is None else convolution.bias
    convolution.bias = nn.Parameter((before - norm.running_mean) * factor + norm.bias)
    convolution.weight.mul_(factor.reshape(-1, *(1,) * (convolution.weight.ndim - 1)))


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory: on graphics cards it has a type, elsewhere a sentence."""
    said = str(error).lower()
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or any(word in said for word in words)


__all__ = [
    "MEMORY_FORMAT",
    "NetworkSegmenter",
    "folded",
    "memory_errors",
    "pad_to_size",
    "placed",
]
