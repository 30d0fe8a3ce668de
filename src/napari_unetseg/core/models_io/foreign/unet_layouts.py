"""State dicts of UNets that others wrote, made into the weights of ours.

A state dict has names and shapes, and no program. From the shapes alone it can be seen how deep and
how wide a UNet is: the usual layout is a chain of 3 by 3 convolutions on every level, each with or
without batch normalisation and then a ReLU, halving by the maximum, doubling by transposed
convolutions, shortcuts laid beside what comes up, and one convolution of a pixel at the end. Where
the shapes say so, the weights are moved into our own UNet of the same arithmetic, and nothing of a
stranger's program is needed. What shapes cannot tell, on which side the shortcut lies, is known of
the names that are usual, and otherwise tried on the package's own example.
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
"""What can be read, for messages."""

_PREFIX = re.compile(r"^(module|model|net|network|unet|_orig_mod)\.")
_SHORTCUT_LAST = re.compile(r"^(encoder\d|upconv\d)")
_PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class UNetLayout:
    """A UNet of others in our own words.

    Parameters
    ----------
    spec
        Our UNet of the same arithmetic.
    ndim, n_channels, n_outputs
        Its sizes.
    state
        Its weights under our names.
    first
        What lies first where a shortcut is joined.
    sure
        Whether the names tell that.
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
    """A convolution and the normalisation after it."""

    name: str
    weight: Array
    bias: Array | None
    norm: dict[str, Array] = field(default_factory=dict)

    @property
    def kernel(self) -> tuple[int, ...]:
        return tuple(self.weight.shape[2:])

    @property
    def sizes(self) -> tuple[int, int]:
        """Channels of the first two axes of the weights."""
        return self.weight.shape[0], self.weight.shape[1]


def match_layout(state: State, *, first: First | None = None) -> UNetLayout:
    """Return a state dict of a UNet in our own words.

    Parameters
    ----------
    state
        In the order in which it was saved.
    first
        What lies first where a shortcut is joined; by the names when not said.

    Raises
    ------
    InputError
        When it is none of the layouts that are known; the sentence says what is unlike.
    """
    layers = _layers(_bare(state))
    ndim = len(layers[0].kernel)
    ups = [layer for layer in layers if layer.kernel == (2,) * ndim]
    ones = [layer for layer in layers if layer.kernel == (1,) * ndim]
    body = [layer for layer in layers if layer.kernel == (3,) * ndim]
    if len(ups) + len(ones) + len(body) != len(layers) or len(ones) != 1 or not ups:
        kernels = ", ".join(sorted({"x".join(map(str, layer.kernel)) for layer in layers}))
        raise _unknown(
            f"it has kernels of {kernels}, with {len(ups)} of 2 and {len(ones)} of 1 pixel"
        )
    depth, head = len(ups), ones[0]
    ups.sort(key=lambda layer: -layer.sizes[0])
    widths = [layer.sizes[1] for layer in reversed(ups)] + [ups[0].sizes[0]]
    convolutions, rest = divmod(len(body), 2 * depth + 1)
    if rest or not 1 <= convolutions <= 4:
        raise _unknown(f"{len(body)} convolutions do not make {depth} levels")
    down = body[: convolutions * (depth + 1)]
    levels = [down[k * convolutions : (k + 1) * convolutions] for k in range(depth + 1)]
    up = body[convolutions * (depth + 1) :]
    decoders = [up[k * convolutions : (k + 1) * convolutions] for k in range(depth)]
    decoders.sort(key=lambda chain: chain[0].sizes[0])
    _check_chains(levels, decoders, ups[::-1], widths, head)
    named = "lower" if _SHORTCUT_LAST.search(down[0].name) else "shortcut"
    known = named == "lower" or down[0].name.startswith("inc.")
    side: First = first or named  # type: ignore[assignment]
    spec = _spec(widths, convolutions, normalised=bool(down[0].norm))
    return UNetLayout(
        spec=spec,
        ndim=ndim,
        n_channels=down[0].sizes[1],
        n_outputs=head.sizes[0],
        state=_moved(levels, decoders, ups[::-1], head, side),
        first=side,
        sure=known,
    )


def _bare(state: State) -> dict[str, Array]:
    """Return the weights without what wrappers put before their names."""
    names = list(state)
    while names and len({_PREFIX.match(name) is not None for name in names}) == 1:
        found = _PREFIX.match(names[0])
        if found is None or not all(name.startswith(found[0]) for name in names):
            break
        state = {name.removeprefix(found[0]): array for name, array in state.items()}
        names = list(state)
    return dict(state)


def _layers(state: State) -> list[_Layer]:
    """Return the convolutions in order, with their normalisations."""
    modules: dict[str, dict[str, Array]] = {}
    for name, array in state.items():
        module, _, part = name.rpartition(".")
        if part not in _PARTS:
            raise _unknown(f"it has weights named {name[:60]!r}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(
                f"The weights {name[:60]!r} hold NaN or infinite numbers: such a model predicts "
                "nothing. Load another."
            )
        if part == "running_var" and (array < 0).any():
            raise InputError(f"The weights {name[:60]!r} hold a negative variance.")
        modules.setdefault(module, {})[part] = array
    layers: list[_Layer] = []
    for name, parts in modules.items():
        weight = parts.get("weight")
        if weight is None:
            raise _unknown(f"{name[:60]!r} has no weights")
        if weight.ndim in (4, 5):
            layers.append(_Layer(name, weight, parts.get("bias")))
        elif weight.ndim == 1 and layers and not layers[-1].norm:
            layers[-1].norm = _norm(name, parts, layers[-1])
        else:
            raise _unknown(f"the weights {name[:60]!r} are of {weight.ndim} axes")
    if not layers or len({layer.weight.ndim for layer in layers}) != 1:
        raise _unknown("it has no convolutions, or of planes and stacks at once")
    return layers


def _norm(name: str, parts: dict[str, Array], layer: _Layer) -> dict[str, Array]:
    if not {"bias", "running_mean", "running_var"} <= set(parts):
        raise _unknown(
            f"{name[:60]!r} normalises every image by itself (instance, group or layer "
            "normalisation), where ours keeps averages"
        )
    if any(parts[part].shape != (layer.sizes[0],) for part in _PARTS[:4]):
        raise _unknown(f"{name[:60]!r} does not fit the convolution before it")
    return {part: parts[part] for part in _PARTS[:4]}


def _check_chains(
    levels: Sequence[Sequence[_Layer]],
    decoders: Sequence[Sequence[_Layer]],
    ups: Sequence[_Layer],
    widths: Sequence[int],
    head: _Layer,
) -> None:
    """Check that everything has the shape that its place asks for."""
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
        raise _unknown("only some of its convolutions are normalised")


def _check_chain(chain: Sequence[_Layer], entering: int, width: int) -> None:
    for layer in chain:
        _check_shape(layer, (width, entering))
        entering = width


def _check_shape(layer: _Layer, wanted: tuple[int, int]) -> None:
    if layer.sizes != wanted:
        raise _unknown(f"{layer.name[:60]!r} has {layer.sizes} channels where {wanted} would fit")


def _spec(widths: Sequence[int], convolutions: int, *, normalised: bool) -> UNetSpec:
    growth = widths[1] / widths[0]
    if [round(widths[0] * growth**k) for k in range(len(widths))] != list(widths):
        raise _unknown(f"its widths {list(widths)} do not grow evenly")
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


def _moved(
    levels: Sequence[Sequence[_Layer]],
    decoders: Sequence[Sequence[_Layer]],
    ups: Sequence[_Layer],
    head: _Layer,
    first: First,
) -> dict[str, Array]:
    """Return the weights under our names."""
    state: dict[str, Array] = {}
    depth = len(ups)
    for level, chain in enumerate(levels):
        room = "body" + ".inside" * level + (".encode" if level < depth else "")
        for place, layer in enumerate(chain):
            state |= _converted(f"{room}.{place}", layer, layer.weight)
    for level, chain in enumerate(decoders):
        room = "body" + ".inside" * level
        bias = ups[level].bias
        state[f"{room}.up.weight"] = ups[level].weight
        state[f"{room}.up.bias"] = _zeros(ups[level].sizes[1]) if bias is None else bias
        for place, layer in enumerate(chain):
            weight = layer.weight
            if place == 0 and first == "lower":
                half = weight.shape[1] // 2
                weight = np.concatenate([weight[:, half:], weight[:, :half]], axis=1)
            state |= _converted(f"{room}.decode.{place}", layer, weight)
    state["head.0.weight"] = head.weight
    state["head.0.bias"] = _zeros(head.sizes[0]) if head.bias is None else head.bias
    plain = {name: np.asarray(array) for name, array in state.items()}
    return {n: a.astype(np.float32) if a.dtype.kind == "f" else a for n, a in plain.items()}


def _converted(name: str, layer: _Layer, weight: Array) -> dict[str, Array]:
    found = {f"{name}.0.weight": weight}
    bias = _zeros(layer.sizes[0]) if layer.bias is None else layer.bias
    if not layer.norm:
        return found | {f"{name}.0.bias": bias}
    # Ours has no bias before a normalisation: it would only move the mean that is taken out.
    norm = {**layer.norm, "running_mean": layer.norm["running_mean"] - bias}
    found |= {f"{name}.1.{part}": array for part, array in norm.items()}
    return found | {f"{name}.1.num_batches_tracked": np.array(1)}


def _zeros(n: int) -> Array:
    return np.zeros(n, np.float32)


def _unknown(why: str) -> InputError:
    return InputError(
        f"The state dict is of no layout that is known: {why}. Known are {SUPPORTED}. Export the "
        "model to ONNX and open that."
    )


__all__ = ["SUPPORTED", "First", "UNetLayout", "match_layout"]
