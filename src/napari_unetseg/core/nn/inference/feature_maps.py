"""Feature maps: the activations of each layer of a trained network for an image.

The layers are those where something is kept: the blocks of a UNet's way down and up, the
convolutions of a chain, and the evidence at the end.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features.position import position_terms
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.named_channels import named_channels
from napari_unetseg.core.inference.predict_tiles import channels_first, matched
from napari_unetseg.core.inference.tiles import TileGrid
from napari_unetseg.core.model.network_specs import ConvolutionalSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.inference.network_segmenter import memory_errors
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.nn.networks.cnn import CNN
from napari_unetseg.core.nn.networks.pretrained_unet import PretrainedUNet
from napari_unetseg.core.nn.networks.unet import Level
from napari_unetseg.core.nn.restore import network_of, segmenter_of
from napari_unetseg.core.normalisation import fit_normalisation
from napari_unetseg.core.progress import Progress, silent

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class LayerFacts:
    """A layer whose answers can be looked at.

    Parameters
    ----------
    name
        For people, and to ask for it by.
    channels
        How many maps it gives.
    step
        Pixels of the image that share one of its values, per axis.
    """

    name: str
    channels: int
    step: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """The answers of a layer to one plane or stack.

    Parameters
    ----------
    layer
        Which layer.
    maps
        (C, *spatial), float32: one value for each `layer.step` pixels.
    """

    layer: LayerFacts
    maps: FloatArray

    def most_excited(self, channel: int, n: int, side: int) -> list[tuple[tuple[int, ...], float]]:
        """Return where a channel answers most, in places that lie apart.

        Parameters
        ----------
        channel
            Which map.
        n
            How many places at most; fewer where the channel is silent elsewhere.
        side
            Pixels of the image that places lie apart at least, along some axis.

        Returns
        -------
        list of (place, answer)
            The middle of the place in pixels of the image, strongest first.
        """
        left = np.array(self.maps[channel], np.float32)
        silent_at = float(left.min())
        reach = [max(side // step, 1) for step in self.layer.step]
        found = []
        for _ in range(n):
            place = np.unravel_index(int(left.argmax()), left.shape)
            answer = float(left[place])
            if answer <= silent_at:
                break
            middle = zip(place, self.layer.step, strict=True)
            found.append((tuple(int(p) * step + step // 2 for p, step in middle), answer))
            near = zip(place, reach, strict=True)
            left[tuple(slice(max(p - r + 1, 0), p + r) for p, r in near)] = silent_at
        return found


def list_layers(model: TrainedModel) -> tuple[LayerFacts, ...]:
    """Return the layers of a network, from the image to the evidence.

    Raises
    ------
    InputError
        When the model is no network of convolutions.
    """
    network, spec = padded_network(model)
    sides = tuple(4 * multiple for multiple in spec.multiple(model.ndim))
    shown = torch.zeros(1, spec.n_inputs(model.n_channels, model.ndim), *sides)
    facts = []
    for name, module in named_layers(network).items():
        with listening(module) as heard, torch.no_grad():
            network(shown)
        told = _of_image(heard[0], model.ndim)
        steps = zip(sides, told.shape[1:], strict=True)
        facts.append(LayerFacts(name, told.shape[0], tuple(a // b for a, b in steps)))
    return tuple(facts)


def feature_maps(
    model: TrainedModel, image: Image, layer: str, *, progress: Progress = silent
) -> FeatureMaps:
    """Return what a layer makes of one plane, or of one stack for a model of stacks.

    Parameters
    ----------
    model
        A trained network of convolutions.
    image
        One plane or stack, of the channels the model takes.
    layer
        The name of one of `list_layers`.
    progress
        Told before each tile.

    Returns
    -------
    FeatureMaps
        The same whether computed in tiles or at once.

    Raises
    ------
    InputError
        When there is no such layer, the image does not fit the model, or it is no single plane
        (no single stack).
    """
    facts = facts_of(model, layer)
    network, spec = padded_network(model)
    module = named_layers(network)[layer]
    given = matched(named_channels(model, image), segmenter_of(model))
    axes = "ZYX"[-model.ndim :]
    places = given.indices("C" + axes)
    if len(places) != 1:
        raise InputError(
            f"The feature maps are of one {'stack' if model.ndim == 3 else 'plane'} at a time, but "
            f"the image has {len(places)}. Choose one of them."
        )
    numbers = channels_first(given, places[0], axes)
    shape = tuple(numbers.shape[1:])
    scaling = fit_normalisation(given, model.normalisation)
    grid = TileGrid.planned(
        shape,
        halo=spec.halo(model.ndim),
        multiple=spec.multiple(model.ndim),
        border=spec.border(model.ndim),
    )
    sizes = [-(-side // step) for side, step in zip(shape, facts.step, strict=True)]
    maps = np.zeros((facts.channels, *sizes), np.float32)
    for number, tile in enumerate(grid):
        progress(number / len(grid), "computing feature maps")
        block = scaling.apply(grid.cut(numbers, tile))
        terms = position_terms(
            spec.position,
            spec.position_order,
            origin=tile.block_start,
            block=block.shape[1:],
            shape=shape,
        )
        shown = torch.from_numpy(np.concatenate([block, terms])[None])
        with listening(module) as heard, memory_errors(block.shape[1:]), torch.inference_mode():
            network(shown)
        told = _of_image(heard[0], model.ndim).numpy()
        where = tuple(
            slice(region.start // step, -(-region.stop // step))
            for region, step in zip(tile.region, facts.step, strict=True)
        )
        inside = tuple(
            slice(part.start - first // step, part.stop - first // step)
            for part, first, step in zip(where, tile.block_start, facts.step, strict=True)
        )
        maps[(slice(None), *where)] = told[(slice(None), *inside)]
    progress(1.0, "computing feature maps")
    return FeatureMaps(facts, maps)


def padded_network(model: TrainedModel) -> tuple[nn.Module, ConvolutionalSpec]:
    """Return the network and its options, as padded: then all its layers lie on the image's grid.

    Unpadded convolutions have the same weights, and away from the edges give the same.
    """
    spec = model.spec
    if not isinstance(spec, ConvolutionalSpec) or not model.state:
        raise InputError(
            f"{model.name!r} is a {spec.kind}, and only networks of convolutions trained here "
            "(cnn, unet) have layers of feature maps. Choose one of those."
        )
    network = network_of(model)
    if getattr(spec, "padding", "same") == "valid":
        spec = spec.model_copy(update={"padding": "same"})
        network = build_network(spec, model.n_channels, model.n_outputs, model.ndim)
        network.load_state_dict({name: torch.tensor(a) for name, a in model.state.items()})
    return network.eval().requires_grad_(False), spec


def named_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers by name, in the order in which they are computed."""
    body: Any = getattr(network, "body", None)
    named: dict[str, nn.Module] = {}
    if isinstance(network, PretrainedUNet):
        named = network.layers()
    elif isinstance(network, CNN):
        blocks = [part for part in body if isinstance(part, nn.Sequential)]
        named = {f"convolution {k}": part for k, part in enumerate(blocks, 1)}
    else:
        levels = []
        while isinstance(body, Level):
            levels.append(body)
            body = body.inside
        named = {f"down {k}": level.encode for k, level in enumerate(levels, 1)}
        named["bottom"] = body
        ups = list(enumerate(levels, 1))[::-1]
        named |= {f"up {k}": level.decode for k, level in ups}
    head: Any = network.head
    return {**named, "evidence": head}


def facts_of(model: TrainedModel, layer: str) -> LayerFacts:
    layers = list_layers(model)
    found = next((facts for facts in layers if facts.name == layer), None)
    if found is None:
        names = ", ".join(facts.name for facts in layers)
        raise InputError(f"{model.name!r} has no layer {layer!r}. Choose one of {names}.")
    return found


@contextmanager
def listening(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a module gives."""
    heard: list[Tensor] = []
    hook = module.register_forward_hook(lambda one, given, told: heard.append(told))
    try:
        yield heard
    finally:
        hook.remove()


def _of_image(told: Tensor, ndim: int) -> Tensor:
    """Return a layer's answers to one image, (C, *spatial), also where planes go one by one."""
    return told[0] if told.ndim == ndim + 2 else told.transpose(0, 1)


def patches_of(image: FloatArray, places: Sequence[tuple[int, ...]], side: int) -> list[FloatArray]:
    """Return squares of a plane (C, Y, X) around places, mirrored beyond its edges."""
    half = side // 2
    wide = np.pad(image, [(0, 0), *[(half, half)] * (image.ndim - 1)], mode="symmetric")
    return [
        wide[(slice(None), *(slice(p, p + side) for p in place))].astype(np.float32)
        for place in places
    ]


__all__ = [
    "FeatureMaps",
    "LayerFacts",
    "facts_of",
    "feature_maps",
    "list_layers",
    "listening",
    "named_layers",
    "padded_network",
    "patches_of",
]
