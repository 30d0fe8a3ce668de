"""Parse the description of a bioimage.io model from untrusted plain data.

Only the fields that prediction needs are required and checked; the others are for display and may
be missing or invalid. Each unsupported feature has its own error message.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.native.model_files import Link

SPACE = "zyx"
MAX_SIDE = 2**16
MAX_CHANNELS = 4096
WEIGHTS = ("onnx", "pytorch_state_dict", "torchscript")
"""Supported weight formats, best first."""


@dataclass(frozen=True)
class Axis:
    """Describe one axis of a tensor.

    Parameters
    ----------
    kind
        ``batch``, ``channel``, ``time``, ``index``, or one of z, y, x.
    least, step
        The length is `least` or, if `step` is not 0, any number of steps more.
    halo
        Pixels to discard at each end.
    scale, unit
        Physical size of a pixel.
    names
        Names of the channels.
    offset
        Difference in length to the input axis that it refers to; negative if shorter.
    """

    kind: str
    least: int = 1
    step: int = 1
    halo: int = 0
    scale: float = 1.0
    unit: str = ""
    names: tuple[str, ...] = ()
    offset: int = 0


@dataclass(frozen=True)
class ProcessingStep:
    """Describe one step of pre- or postprocessing."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tensor:
    """Describe an input or an output."""

    name: str
    axes: tuple[Axis, ...]
    dtype: str = "float32"
    steps: tuple[ProcessingStep, ...] = ()
    test: Link | None = None
    description: str = ""

    @property
    def kinds(self) -> str:
        """The axes, one letter each: b, c, t, i, z, y, x."""
        return "".join(axis.kind[0] for axis in self.axes)

    @property
    def space(self) -> tuple[Axis, ...]:
        """The spatial axes in the order z, y, x, independent of the tensor's order."""
        return tuple(sorted((a for a in self.axes if a.kind in SPACE), key=_axis_order))

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return next((axis.least for axis in self.axes if axis.kind == "channel"), 1)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, if they have any."""
        return next((axis.names for axis in self.axes if axis.kind == "channel"), ())


@dataclass(frozen=True)
class Weights:
    """Describe the weights in one format."""

    link: Link
    architecture: str = ""


@dataclass(frozen=True)
class Description:
    """Hold the description of a model in a package."""

    version: str
    name: str
    text: str
    authors: tuple[str, ...]
    licence: str
    cite: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weights: Mapping[str, Weights]
    tolerance: tuple[float, float]


def parse_description(content: Mapping[str, Any]) -> Description:
    """Parse a description of format 0.5 from plain data.

    Raises
    ------
    InputError
        When it is not a model, has another format, or lacks fields that prediction needs.
    """
    version = str(content.get("format_version", ""))
    if content.get("type", "model") != "model":
        raise InputError(f"It describes a {str(content['type'])[:40]!r}, not a model.")
    if not re.fullmatch(r"0\.5\.\d+\w*", version):
        raise InputError(
            f"It has version {version[:20]!r} of the bioimage.io format; versions 0.4 and 0.5 are "
            "supported. Convert it with the format's own tools."
        )
    needed = [entry for entry in _list(content, "inputs") if not _is_optional(entry)]
    inputs = [_tensor(entry, "preprocessing") for entry in needed]
    input_axes = {(t.name, a.kind): a for t in inputs for a in t.axes}
    outputs = [_tensor(entry, "postprocessing", input_axes) for entry in _list(content, "outputs")]
    weights = content.get("weights")
    return Description(
        version=version,
        name=_text(content, "name") or "unnamed model",
        text=_text(content, "description"),
        authors=tuple(_person(entry) for entry in _list(content, "authors", needed=False)),
        licence=_text(content, "license"),
        cite=tuple(_citation(entry) for entry in _list(content, "cite", needed=False)),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        weights=_weights(weights) if isinstance(weights, Mapping) else {},
        tolerance=_tolerance(content.get("config")),
    )


def _tensor(
    entry: Any, steps: str, input_axes: Mapping[tuple[str, str], Axis] | None = None
) -> Tensor:
    if not isinstance(entry, Mapping):
        raise _invalid("an input or output is not a mapping")
    name = (
        _text(entry, "id") or _text(entry, "name") or ("input" if input_axes is None else "output")
    )
    axes = tuple(_axis(axis, name, input_axes) for axis in _list(entry, "axes"))
    kinds = [axis.kind for axis in axes]
    if len(set(kinds)) != len(kinds) or not {"y", "x"} <= set(kinds):
        raise _invalid(f"{name} has the axes {', '.join(kinds)}, not y and x once each")
    data = entry.get("data")
    data = data[0] if isinstance(data, Sequence) and data and not isinstance(data, str) else data
    dtype = _text(data, "type") if isinstance(data, Mapping) else ""
    return Tensor(
        name=name,
        axes=axes,
        dtype=dtype or "float32",
        steps=tuple(_step(step) for step in _list(entry, steps, needed=False)),
        test=_link(entry.get("test_tensor")),
        description=_text(entry, "description"),
    )


def _axis(entry: Any, tensor: str, input_axes: Mapping[tuple[str, str], Axis] | None) -> Axis:
    if not isinstance(entry, Mapping):
        raise _invalid(f"an axis of {tensor} is not a mapping")
    kind = _text(entry, "type")
    named = _text(entry, "id") or ("x" if kind == "space" else kind)
    if kind not in ("batch", "channel", "time", "index", "space"):
        raise _invalid(f"{tensor} has an axis of the type {kind[:40]!r}")
    if kind == "space" and named not in SPACE:
        raise _invalid(f"{tensor} has an axis named {named[:40]!r}, not z, y or x")
    halo, scale = entry.get("halo", 0), entry.get("scale", 1.0)
    if not _is_count(halo, 0) or not _is_positive(scale):
        raise _invalid(f"the axis {named[:20]} of {tensor} has an invalid halo or scale")
    common = {
        "kind": named if kind == "space" else kind,
        "halo": halo,
        "scale": float(scale),
        "unit": _text(entry, "unit"),
    }
    if kind == "channel":
        names = entry.get("channel_names")
        if not isinstance(names, Sequence) or isinstance(names, str) or not names:
            raise _invalid(f"the channels of {tensor} have no names")
        if len(names) > MAX_CHANNELS:
            raise _invalid(f"{tensor} has {len(names)} channels")
        channel_names = tuple(str(name)[:100] for name in names)
        return Axis(**common, least=len(channel_names), step=0, names=channel_names)
    if kind == "batch":
        return Axis(**common)
    size: dict[str, Any] = _size(entry.get("size", 1), f"{named} of {tensor}", scale, input_axes)
    return Axis(**common, **size)


def _size(
    size: Any, what: str, scale: float, input_axes: Mapping[tuple[str, str], Axis] | None
) -> dict[str, int]:
    if _is_count(size, 1):
        return {"least": size, "step": 0}
    if isinstance(size, Mapping) and "tensor_id" in size and input_axes is not None:
        other = input_axes.get((str(size["tensor_id"]), str(size.get("axis_id"))))
        offset = size.get("offset", 0)
        if other is None or type(offset) is not int or abs(offset) > MAX_SIDE:
            raise _invalid(f"the size of {what} refers to an unknown axis")
        if not math.isclose(other.scale, scale, rel_tol=1e-6):
            raise InputError(
                f"The pixels of {what} are {scale / other.scale:.4g} times as large as the "
                "image's. Only models whose result has the image's pixel size can be run."
            )
        # An offset is that of the whole axis; half of it belongs to each end.
        return {"least": max(other.least + offset, 1), "step": other.step, "offset": offset}
    if isinstance(size, Mapping) and _is_count(size.get("min"), 1):
        step = size.get("step")
        if _is_count(step, 1):
            return {"least": size["min"], "step": step}
        if step is None:
            raise InputError(
                f"The size of {what} depends on the image's content. Models that return lists "
                "rather than images cannot be run."
            )
    raise _invalid(f"the size of {what} is {str(size)[:60]}")


def _step(entry: Any) -> ProcessingStep:
    if not isinstance(entry, Mapping) or not (name := _text(entry, "id") or _text(entry, "name")):
        raise _invalid("a step of its processing has no name")
    options = entry.get("kwargs") or {}
    if not isinstance(options, Mapping):
        raise _invalid(f"the options of {name[:40]} are not a mapping")
    return ProcessingStep(name, {str(key): value for key, value in options.items()})


def _weights(content: Mapping[str, Any]) -> dict[str, Weights]:
    weights = {}
    for name, entry in content.items():
        link = _link(entry)
        if link is None or not isinstance(entry, Mapping):
            continue
        architecture = entry.get("architecture")
        builder = _text(architecture, "callable") if isinstance(architecture, Mapping) else ""
        if "external_data" in entry:
            link = Link("external data of ONNX://", "")
        weights[str(name)] = Weights(link, builder)
    return weights


def _link(entry: Any) -> Link | None:
    if isinstance(entry, str) and entry:
        return Link(entry)
    if isinstance(entry, Mapping) and isinstance(entry.get("source"), str):
        digest = entry.get("sha256")
        return Link(entry["source"], digest if isinstance(digest, str) else "")
    return None


def _tolerance(config: Any) -> tuple[float, float]:
    """Return the tolerance of results on other machines: relative and absolute."""
    own = config.get("bioimageio") if isinstance(config, Mapping) else None
    entries = own.get("reproducibility_tolerance") if isinstance(own, Mapping) else None
    entry = entries[0] if isinstance(entries, list) and entries else {}
    entry = entry if isinstance(entry, Mapping) else {}

    def limited(name: str) -> float:
        value: Any = entry.get(name)
        return min(float(value), 0.1) if _is_positive(value) else 1e-3

    return limited("relative_tolerance"), limited("absolute_tolerance")


def _person(entry: Any) -> str:
    return _text(entry, "name") if isinstance(entry, Mapping) else str(entry)[:200]


def _citation(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return str(entry)[:500]
    link = _text(entry, "doi") or _text(entry, "url")
    return f"{_text(entry, 'text')} {link}".strip()


def _text(entry: Any, name: str) -> str:
    value = entry.get(name) if isinstance(entry, Mapping) else None
    return " ".join(value.split())[:2000] if isinstance(value, str) else ""


def _list(entry: Mapping[str, Any], name: str, *, needed: bool = True) -> list[Any]:
    value = entry.get(name)
    if isinstance(value, list) and (value or not needed):
        return value
    if needed:
        raise _invalid(f"it has no {name}")
    return []


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and least <= value <= MAX_SIDE


def _is_positive(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < 1e12


def _is_optional(entry: Any) -> bool:
    return isinstance(entry, Mapping) and entry.get("optional") is True


def _axis_order(axis: Axis) -> int:
    return SPACE.index(axis.kind)


def _invalid(why: str) -> InputError:
    return InputError(f"Its description cannot be used: {why}. Export or download it again.")


__all__ = [
    "MAX_CHANNELS",
    "WEIGHTS",
    "Axis",
    "Description",
    "ProcessingStep",
    "Tensor",
    "Weights",
    "parse_description",
]
