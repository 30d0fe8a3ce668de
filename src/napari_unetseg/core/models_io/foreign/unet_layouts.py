"""Convert state dicts of foreign UNets to the weights of our UNet.

A state dict has names and shapes, but no code. The shapes determine the depth and width of a UNet
of the usual layout: a chain of 3 by 3 convolutions on every level, each with or without batch
normalisation and with a ReLU, max pooling, transposed convolutions, concatenated skip
connections, and a final convolution of one pixel. If the shapes match, the weights are moved into
our own UNet with the same arithmetic, so no foreign code is needed. The order of the
concatenation cannot be seen from the shapes: it follows from usual names, or else is tried on the
package's own example.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.network_specs import UNetSpec

Array = NDArray[Any]
State = Mapping[str, Array]
First = Literal["shortcut", "lower"]

SUPPORTED = (
    "UNets of double (or single, or triple) 3 by 3 convolutions with ReLU, with or without batch "
    "normalisation, halved by max pooling and doubled by 2 by 2 transposed convolutions: names "
    "like inc, down1, up1, outc; encoder1, bottleneck, upconv1, decoder1, conv; or any with the "
    "same shapes"
)
"""Supported layouts, for messages."""

_PREFIX = re.compile(r"^(module|model|net|network|unet|_orig_mod)\.")
_SHORTCUT_LAST = re.compile(r"^(encoder\d|upconv\d)")
_PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class UNetLayout:
    """Describe a foreign UNet by our own options.

    Parameters
    ----------
    spec
        Our UNet with the same arithmetic.
    ndim, n_channels, n_outputs
        Number of spatial axes, input channels and output channels.
    state
        The weights under our names.
    first
        The first part of the concatenation with a skip connection.
    sure
        Whether the names determine that.
    """

    spec: UNetSpec
    ndim: int
    n_channels: int
    n_outputs: int
    state: dict[str, Array]
    first: First
    sure: bool


@dataclass
class _Layer:
    """Hold a convolution and the normalisation after it."""

    name: str
    weight: Array
    bias: Array | None
    norm: dict[str, Array] = field(default_factory=dict)

    @property
    def kernel(self) -> tuple[int, ...]:
        return tuple(self.weight.shape[2:])

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of the first two axes of the weights: their channels."""
        return self.weight.shape[0], self.weight.shape[1]


def match_layout(state: State, *, first: First | None = None) -> UNetLayout:
    """Match a state dict to our UNet.

    Parameters
    ----------
    state
        The weights, in the order in which they were saved.
    first
        The first part of the concatenation with a skip connection; from the names if None.

    Raises
    ------
    InputError
        When the layout is not supported; the message names the difference.
    """
    layers = _layers(_remove_prefixes(state))
    ndim = len(layers[0].kernel)
    ups = [layer for layer in layers if layer.kernel == (2,) * ndim]
    ones = [layer for layer in layers if layer.kernel == (1,) * ndim]
    body = [layer for layer in layers if layer.kernel == (3,) * ndim]
    if len(ups) + len(ones) + len(body) != len(layers) or len(ones) != 1 or not ups:
        kernels = ", ".join(sorted({"x".join(map(str, layer.kernel)) for layer in layers}))
        raise _unsupported(
            f"it has kernels of {kernels}, with {len(ups)} of 2 and {len(ones)} of 1 pixel"
        )
    depth, head = len(ups), ones[0]
    ups.sort(key=lambda layer: -layer.sizes[0])
    widths = [layer.sizes[1] for layer in reversed(ups)] + [ups[0].sizes[0]]
    convolutions, remainder = divmod(len(body), 2 * depth + 1)
    if remainder or not 1 <= convolutions <= 4:
        raise _unsupported(f"{len(body)} convolutions do not make {depth} levels")
    down = body[: convolutions * (depth + 1)]
    levels = [down[k * convolutions : (k + 1) * convolutions] for k in range(depth + 1)]
    up = body[convolutions * (depth + 1) :]
    decoders = [up[k * convolutions : (k + 1) * convolutions] for k in range(depth)]
    decoders.sort(key=lambda chain: chain[0].sizes[0])
    _check_chains(levels, decoders, ups[::-1], widths, head)
    usual_first = "lower" if _SHORTCUT_LAST.search(down[0].name) else "shortcut"
    sure = usual_first == "lower" or down[0].name.startswith("inc.")
    side: First = first or usual_first  # type: ignore[assignment]
    spec = _spec(widths, convolutions, normalised=bool(down[0].norm))
    return UNetLayout(
        spec=spec,
        ndim=ndim,
        n_channels=down[0].sizes[1],
        n_outputs=head.sizes[0],
        state=_rename_weights(levels, decoders, ups[::-1], head, side),
        first=side,
        sure=sure,
    )


def _remove_prefixes(state: State) -> dict[str, Array]:
    """Remove the prefixes that wrapper modules put before names."""
    names = list(state)
    while names and len({_PREFIX.match(name) is not None for name in names}) == 1:
        prefix = _PREFIX.match(names[0])
        if prefix is None or not all(name.startswith(prefix[0]) for name in names):
            break
        state = {name.removeprefix(prefix[0]): array for name, array in state.items()}
        names = list(state)
    return dict(state)


def _layers(state: State) -> list[_Layer]:
    """Collect the convolutions in order, with their normalisations."""
    modules: dict[str, dict[str, Array]] = {}
    for name, array in state.items():
        module, _, part = name.rpartition(".")
        if part not in _PARTS:
            raise _unsupported(f"it has weights named {name[:60]!r}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(
                f"The weights {name[:60]!r} contain NaN or infinite numbers: such a model predicts "
                "nothing. Load another."
            )
        if part == "running_var" and (array < 0).any():
            raise InputError(
                f"The weights {name[:60]!r} contain a negative variance. Load another model."
            )
        modules.setdefault(module, {})[part] = array
    layers: list[_Layer] = []
    for name, parts in modules.items():
        weight = parts.get("weight")
        if weight is None:
            raise _unsupported(f"{name[:60]!r} has no weights")
        if weight.ndim in (4, 5):
            layers.append(_Layer(name, weight, parts.get("bias")))
        elif weight.ndim == 1 and layers and not layers[-1].norm:
            layers[-1].norm = _norm(name, parts, layers[-1])
        else:
            raise _unsupported(f"the weights {name[:60]!r} are of {weight.ndim} axes")
    if not layers or len({layer.weight.ndim for layer in layers}) != 1:
        raise _unsupported("it has no convolutions, or both 2D and 3D ones")
    return layers


def _norm(name: str, parts: dict[str, Array], layer: _Layer) -> dict[str, Array]:
    if not {"bias", "running_mean", "running_var"} <= set(parts):
        raise _unsupported(
            f"{name[:60]!r} is an instance, group or layer normalisation, where ours is a batch "
            "normalisation"
        )
    if any(parts[part].shape != (layer.sizes[0],) for part in _PARTS[:4]):
        raise _unsupported(f"{name[:60]!r} does not fit the convolution before it")
    return {part: parts[part] for part in _PARTS[:4]}


def _check_chains(
    levels: Sequence[Sequence[_Layer]],
    decoders: Sequence[Sequence[_Layer]],
    ups: Sequence[_Layer],
    widths: Sequence[int],
    head: _Layer,
) -> None:
    """Check that every layer has the shape of its position in the UNet."""
    entering = levels[0][0].sizes[1]
    for level, chain in enumerate(levels):
        _check_chain(chain, entering, widths[level])
        entering = widths[level]
    for level, chain in enumerate(decoders):
        _check_chain(chain, 2 * widths[level], widths[level])
        _check_shape(ups[level], (widths[level + 1], widths[level]))
    _check_shape(head, (head.sizes[0], widths[0]))
    normalised = {bool(layer.norm) for chain in (*levels, *decoders) for layer in chain}
    if len(normalised) > 1 or head.norm or any(up.norm for up in ups):
        raise _unsupported("only some of its convolutions are normalised")


def _check_chain(chain: Sequence[_Layer], entering: int, width: int) -> None:
    for layer in chain:
        _check_shape(layer, (width, entering))
        entering = width


def _check_shape(layer: _Layer, expected: tuple[int, int]) -> None:
    if layer.sizes != expected:
        raise _unsupported(
            f"{layer.name[:60]!r} has {layer.sizes} channels where {expected} would fit"
        )


def _spec(widths: Sequence[int], convolutions: int, *, normalised: bool) -> UNetSpec:
    growth = widths[1] / widths[0]
    if [round(widths[0] * growth**k) for k in range(len(widths))] != list(widths):
        raise _unsupported(f"its widths {list(widths)} do not grow evenly")
    return UNetSpec.checked(
        depth=len(widths) - 1,
        width=widths[0],
        growth=growth,
        convolutions=convolutions,
        normalisation="batch" if normalised else "none",
        stem="plain",
        resolution="full",
        upsampling="transposed-2",
    )


def _rename_weights(
    levels: Sequence[Sequence[_Layer]],
    decoders: Sequence[Sequence[_Layer]],
    ups: Sequence[_Layer],
    head: _Layer,
    first: First,
) -> dict[str, Array]:
    """Rename the weights to our names."""
    state: dict[str, Array] = {}
    depth = len(ups)
    for level, chain in enumerate(levels):
        module = "body" + ".inside" * level + (".encode" if level < depth else "")
        for number, layer in enumerate(chain):
            state |= _rename_layer(f"{module}.{number}", layer, layer.weight)
    for level, chain in enumerate(decoders):
        module = "body" + ".inside" * level
        bias = ups[level].bias
        state[f"{module}.up.weight"] = ups[level].weight
        state[f"{module}.up.bias"] = _zeros(ups[level].sizes[1]) if bias is None else bias
        for number, layer in enumerate(chain):
            weight = layer.weight
            if number == 0 and first == "lower":
                half = weight.shape[1] // 2
                weight = np.concatenate([weight[:, half:], weight[:, :half]], axis=1)
            state |= _rename_layer(f"{module}.decode.{number}", layer, weight)
    state["head.0.weight"] = head.weight
    state["head.0.bias"] = _zeros(head.sizes[0]) if head.bias is None else head.bias
    plain = {name: np.asarray(array) for name, array in state.items()}
    return {n: a.astype(np.float32) if a.dtype.kind == "f" else a for n, a in plain.items()}


def _rename_layer(name: str, layer: _Layer, weight: Array) -> dict[str, Array]:
    weights = {f"{name}.0.weight": weight}
    bias = _zeros(layer.sizes[0]) if layer.bias is None else layer.bias
    if not layer.norm:
        return weights | {f"{name}.0.bias": bias}
    # Ours has no bias before a normalisation, whose mean would cancel it.
    norm = {**layer.norm, "running_mean": layer.norm["running_mean"] - bias}
    weights |= {f"{name}.1.{part}": array for part, array in norm.items()}
    return weights | {f"{name}.1.num_batches_tracked": np.array(1)}


def _zeros(n: int) -> Array:
    return np.zeros(n, np.float32)


def _unsupported(why: str) -> InputError:
    return InputError(
        f"The layout of the state dict is not supported: {why}. Supported are {SUPPORTED}. "
        "Export the model to ONNX and open that."
    )


__all__ = ["SUPPORTED", "First", "UNetLayout", "match_layout"]
