"""The picture that excites a channel of a trained network most, drawn from noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features.position import position_terms
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.inference.feature_maps import (
    facts_of,
    listening,
    named_layers,
    padded_network,
)
from napari_unetseg.core.normalisation import fit_normalisation
from napari_unetseg.core.progress import Progress, silent

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Excitation:
    """A picture that a channel answers to as strongly as could be found.

    Parameters
    ----------
    picture
        (C, *spatial), float32, normalised as the network's images are.
    before, after
        The channel's mean answer to the noise it began as, and to the picture.
    """

    picture: FloatArray
    before: float
    after: float


def excite(
    model: TrainedModel,
    layer: str,
    channel: int,
    *,
    side: int = 96,
    steps: int = 120,
    smooth: float = 0.1,
    seed: int = 0,
    progress: Progress = silent,
) -> Excitation:
    """Draw the picture that a channel answers to most, by gradient ascent from noise.

    Parameters
    ----------
    model, layer
        See `feature_maps`.
    channel
        Which of the layer's channels, from 0.
    side
        Sides of the picture in pixels; rounded to what the network takes.
    steps
        Steps uphill.
    smooth
        Price of differences between neighbouring pixels, and of values far from the middle grey:
        without one the picture is a fine pattern of chance that no image shows.
    seed
        Draws the noise.
    progress
        Told before each step.

    Raises
    ------
    InputError
        When there is no such layer or channel, or it answers nothing to noise of any scale.

    References
    ----------
    Erhan et al.: Visualizing higher-layer features of a deep network, 2009; Olah, Mordvintsev,
    Schubert: Feature visualization, Distill 2017, for moving the picture about meanwhile.
    """
    facts = facts_of(model, layer)
    if not 0 <= channel < facts.channels:
        raise InputError(
            f"{layer} has the channels 0 to {facts.channels - 1}, not {channel}. Choose one of "
            "them."
        )
    network, spec = padded_network(model)
    module = named_layers(network)[layer]
    ndim = model.ndim
    sides = [max(-(-side // unit), 2) * unit for unit in spec.multiple(ndim)]
    if ndim == 3:
        sides[0] = max(-(-16 // spec.multiple(3)[0]), 2) * spec.multiple(3)[0]
    chance = torch.Generator().manual_seed(seed)
    middle, spread = _levels(model)
    grey = middle + spread * _noise(model.n_channels, sides, chance)
    terms = torch.from_numpy(
        position_terms(
            spec.position,
            spec.position_order,
            origin=(0,) * ndim,
            block=tuple(sides),
            shape=tuple(sides),
        )
    )[None]
    moving = tuple(range(2, 2 + ndim))

    def answer(picture: Tensor) -> Tensor:
        with listening(module) as heard:
            network(torch.cat([picture, terms], 1))
        return heard[0][:, channel].mean()

    with torch.inference_mode(False), torch.enable_grad():
        picture = grey.clone().requires_grad_()
        before = float(answer(picture).detach())
        optimiser = torch.optim.Adam([picture], lr=0.2 * spread)
        for step in range(steps):
            progress(step / steps, "drawing what excites the channel")
            shifts = torch.randint(-4, 5, (ndim,), generator=chance).tolist()
            told = answer(torch.roll(picture, shifts, moving))
            levels = (picture - middle) / spread
            roughness = sum((levels.diff(dim=axis) ** 2).mean() for axis in moving)
            far = (levels**2).mean()
            # In units of the answer itself, so that one price suits all layers.
            scale = told.detach().abs().clamp_min(1e-6)
            if step == 0 and not float(told.detach()):
                raise InputError(
                    f"Channel {channel} of {layer} is silent: it answers nothing to noise. Choose "
                    "another channel."
                )
            loss = -told / scale + smooth * (4 * roughness + far)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        after = float(answer(picture).detach())
    progress(1.0, "drawing what excites the channel")
    return Excitation(picture.detach()[0].numpy(), before, after)


def _noise(n_channels: int, sides: Sequence[int], chance: torch.Generator) -> Tensor:
    """Return noise of all scales, of spread 1: fine noise alone leaves deep layers silent."""
    total = torch.zeros(1, n_channels, *sides)
    for scale in (1, 2, 4, 8, 16):
        cells = [-(-side // scale) for side in sides]
        coarse = torch.randn(1, n_channels, *cells, generator=chance)
        total += nn.functional.interpolate(coarse, tuple(sides), mode="nearest")
    return total / total.std()


def _levels(model: TrainedModel) -> tuple[float, float]:
    """Return mean and spread of the images it learnt from, as it sees them."""
    if model.example is None:
        return 0.5, 0.25
    example = Image(model.example, "C" + "ZYX"[-model.ndim :])
    seen = fit_normalisation(example, model.normalisation).apply(model.example)
    return float(seen.mean()), float(seen.std()) or 0.25


__all__ = ["Excitation", "excite"]
