"""Put a level at full resolution around a trained UNet, which computes nearly the same at first.

A space-to-depth stem makes one pixel of two by two, and a learnt head makes two by two of one. The
new level begins as both of these: small touching objects can then be learnt at full resolution,
and little that was learnt is lost.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, product

import numpy as np
import torch
from torch.nn import functional as F

from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.nn.restore import network_of

BOX = 2
_RIDGE = 1e-3


def with_finer_level(
    model: TrainedModel, blocks: Sequence[torch.Tensor], *, seed: int = 0
) -> TrainedModel:
    """Return a model that computes nearly the same with one more level, at full resolution.

    Parameters
    ----------
    model
        A UNet of planes with a space-to-depth stem, max pooling, a learnt head and batch
        normalisation. The new level has half as many channels as its first one, at least two for
        each channel of the image and for each output; eight for each imitate the stem best.
    blocks
        (1, channels, Y, X) each: normalised images, on which the old first convolution is imitated
        from the largest and the smallest of every two by two pixels.
    seed
        Of the weights that are not needed for that.
    """
    old = network_of(model).eval()
    before = old.state_dict()
    options = model.spec.model_dump(exclude={"kind"})
    width, n = options["width"] // 2, model.n_channels
    finer = {"stem": "plain", "width": width, "depth": options["depth"] + 1}
    n_outputs = len(before["head.0.bias"]) // BOX**2
    if width < 2 * max(n, n_outputs):
        raise ValueError(f"{width} channels are too few for {n} of the image")
    spec = spec_of("unet", options | finer)
    network = build_network(spec, n, n_outputs, 2, seed=seed).eval()
    new = network.state_dict()
    for name, weights in before.items():
        inside = name.replace("body.", "body.inside.", 1)
        if name.startswith("body.") and new[inside].shape == weights.shape:
            new[inside] = weights
    _show_extremes(new, n)
    _pass_on(new, "body.encode.1", width)
    _begin_as_head(new, before, width, n_outputs)
    network.load_state_dict(new)
    new["body.inside.encode.0.0.weight"] = _imitated(old, network, blocks)
    network.load_state_dict(new)
    state = {name: np.asarray(weights) for name, weights in network.state_dict().items()}
    return replace(model, spec=spec, state=state)


def _show_extremes(state: dict[str, torch.Tensor], n: int) -> None:
    """Let the first convolution show pixel and neighbours, and 1 minus them, to the max pooling."""
    weights, offsets = state["body.encode.0.0.weight"], state["body.encode.0.1.bias"]
    ways = product(range(BOX), range(BOX), range(n), (1, -1))
    for k, (down, right, channel, sign) in enumerate(islice(ways, len(weights))):
        weights[k] = 0
        weights[k, channel, 1 + down, 1 + right] = sign
        offsets[k] = 1.0 if sign < 0 else 0.0


def _pass_on(state: dict[str, torch.Tensor], convolution: str, n: int) -> None:
    """Let a convolution pass its first channels, which are positive."""
    weights = state[f"{convolution}.0.weight"]
    weights[:n] = 0
    for k in range(n):
        weights[k, k, 1, 1] = 1


def _begin_as_head(
    new: dict[str, torch.Tensor], old: dict[str, torch.Tensor], skipped: int, n_outputs: int
) -> None:
    """Let the new level do as the old head did: a number passes activations as two."""
    head = old["head.0.weight"][..., 0, 0].reshape(BOX, BOX, n_outputs, -1)
    for row, column in product(range(BOX), range(BOX)):
        new["body.up.weight"][:, :n_outputs, row, column] = head[column, row].T
    new["body.up.bias"][:n_outputs] = 0
    entering = new["body.decode.0.0.weight"]
    entering[: 2 * n_outputs] = 0
    new["head.0.weight"][:] = 0
    for output, (sign, first) in product(range(n_outputs), ((1, 0), (-1, n_outputs))):
        entering[first + output, skipped + output, 1, 1] = sign
        new["head.0.weight"][output, first + output] = sign
    _pass_on(new, "body.decode.1", 2 * n_outputs)
    # A transposed convolution has one offset for all pixels of a box; theirs hardly differ.
    new["head.0.bias"][:] = old["head.0.bias"].reshape(BOX**2, n_outputs).mean(0)


def _imitated(
    old: torch.nn.Module, new: torch.nn.Module, blocks: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return weights by which the inner network gets what the old stem gave, by least squares."""
    convolution = old.body.encode[0][0]
    squares, products = torch.zeros(0), torch.zeros(0)
    with torch.no_grad():
        for block in blocks:
            wanted = convolution(old.stem(block)).flatten(2)[0].double()
            given = F.unfold(new.body.down(new.body.encode(new.stem(block))), 3, padding=1)
            given = given[0].double()
            squares = squares + given @ given.T if len(squares) else given @ given.T
            products = products + given @ wanted.T if len(products) else given @ wanted.T
    ridge = _RIDGE * squares.diagonal().mean() * torch.eye(len(squares), dtype=torch.float64)
    found = torch.linalg.solve(squares + ridge, products)
    return found.T.reshape(len(convolution.weight), -1, 3, 3).float()
