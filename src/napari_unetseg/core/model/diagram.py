"""Diagrams of models as data: their parts, channels and sizes."""

from dataclasses import dataclass
from typing import Literal

from napari_unetseg.core.model.network_specs import CnnSpec, ModelSpec, UNetSpec
from napari_unetseg.core.model.pixel_specs import PixelSpec
from napari_unetseg.core.model.pretrained_unet_spec import PretrainedUNetSpec
from napari_unetseg.core.model.registry import RUNGS, import_callable

Role = Literal["input", "down", "bottom", "up", "output"]


@dataclass(frozen=True)
class DiagramPart:
    """One part of a model.

    Parameters
    ----------
    name
        Shown to the user.
    role
        Its place in the model.
    channels
        Output channels.
    box
        Pixels of the image per pixel of this part, along each axis.
    level
        Number of halvings since the first part.
    """

    name: str
    role: Role
    channels: int
    box: tuple[int, ...]
    level: int = 0

    def size(self, image: tuple[int, ...]) -> tuple[int, ...]:
        """Return the sides of this part's output for an image of these sides."""
        return tuple(-(-side // step) for side, step in zip(image, self.box, strict=True))


@dataclass(frozen=True)
class Architecture:
    """A model as its parts, from the image to the classes.

    Parameters
    ----------
    parts
        In the order in which they are computed.
    shortcuts
        Skip connections as pairs of indices in `parts`: from the encoder to the decoder.
    joined
        How a skip connection joins the features from below; empty without skip connections.
    receptive_field
        Pixels that the prediction of one pixel can depend on, per axis.
    """

    parts: tuple[DiagramPart, ...]
    shortcuts: tuple[tuple[int, int], ...]
    joined: str
    receptive_field: tuple[int, ...]


def describe_architecture(
    spec: ModelSpec, n_channels: int = 1, n_classes: int = 2, ndim: int = 2
) -> Architecture:
    """Describe the parts of a model.

    Parameters
    ----------
    spec
        Any rung; an automatic resolution counts as full.
    n_channels
        Channels of the image.
    n_classes
        Number of classes.
    ndim
        2 for planes, 3 for stacks.
    """
    describe = import_callable(RUNGS[spec.kind].diagram)
    result: Architecture = describe(spec, n_channels, n_classes, ndim)
    return result


def pixel_diagram(spec: PixelSpec, n_channels: int, n_classes: int, ndim: int) -> Architecture:
    """Describe the parts of a model over given features; see `describe_architecture`."""
    one = (1,) * ndim
    n_outputs = spec.count_outputs(n_classes)
    parts = [
        DiagramPart("image", "input", n_channels, one),
        DiagramPart("features", "down", spec.n_inputs(n_channels, ndim), one),
        *(DiagramPart(f"hidden {k}", "down", n, one) for k, n in enumerate(spec.hidden, 1)),
        DiagramPart("sigmoid" if n_outputs == 1 else "softmax", "output", n_outputs, one),
    ]
    field = tuple(2 * reach + 1 for reach in spec.halo(ndim))
    return Architecture(tuple(parts), (), "", field)


def cnn_diagram(spec: CnnSpec, n_channels: int, n_classes: int, ndim: int) -> Architecture:
    """Describe the parts of a chain of convolutions; see `describe_architecture`."""
    inside, shrink = spec.inside(), spec.shrink(ndim)
    one = (1,) * ndim
    parts = [DiagramPart("image", "input", spec.n_inputs(n_channels, ndim), one)]
    level, box = 0, shrink
    for layer in range(spec.layers):
        dilated = f", holes {2**layer}" if spec.context == "dilation" and layer else ""
        parts.append(DiagramPart(f"conv {layer + 1}{dilated}", "down", spec.width, box, level))
        if spec.context == "pooling" and layer < spec.poolings:
            level += 1
            below = inside.model_copy(update={"poolings": level}).multiple(ndim)
            box = tuple(a * b for a, b in zip(shrink, below, strict=True))
    parts.append(DiagramPart("softmax", "output", n_classes, one))
    return Architecture(tuple(parts), (), "", spec.receptive_field(ndim))


def unet_diagram(spec: UNetSpec, n_channels: int, n_classes: int, ndim: int) -> Architecture:
    """Describe the parts of a UNet; see `describe_architecture`."""
    one = (1,) * ndim
    widths = [round(spec.width * spec.growth**level) for level in range(spec.depth + 1)]
    # The multiple of a UNet of fewer levels is the box of a pixel at its bottom.
    boxes = [spec.box(ndim)]
    boxes += [
        spec.model_copy(update={"depth": depth}).multiple(ndim)
        for depth in range(1, spec.depth + 1)
    ]
    levels = range(spec.depth)
    parts = [DiagramPart("image", "input", spec.n_inputs(n_channels, ndim), one)]
    parts += [DiagramPart(f"down {k + 1}", "down", widths[k], boxes[k], k) for k in levels]
    parts.append(DiagramPart("bottom", "bottom", widths[-1], boxes[-1], spec.depth))
    parts += [DiagramPart(f"up {k + 1}", "up", widths[k], boxes[k], k) for k in reversed(levels)]
    parts.append(DiagramPart("softmax", "output", n_classes, one))
    shortcuts = tuple((1 + k, len(parts) - 2 - k) for k in levels)
    joined = {"concat": "laid side by side", "add": "added"}[spec.skip]
    gated = ", gated by attention" if spec.attention else ""
    return Architecture(tuple(parts), shortcuts, joined + gated, spec.receptive_field(ndim))


def pretrained_unet_diagram(
    spec: PretrainedUNetSpec, n_channels: int, n_classes: int, ndim: int
) -> Architecture:
    """Describe the parts of a UNet over a trunk; see `describe_architecture`."""
    one, shrink = (1,) * ndim, spec.shrink(ndim)
    outputs = spec.outputs
    boxes = [
        tuple(1 if ndim == 3 and axis == 0 else side * 2**k for axis, side in enumerate(shrink))
        for k in range(1, len(outputs) + 1)
    ]
    *upper, bottom = list(enumerate(zip(outputs, boxes, strict=True)))
    level, (channels, box) = bottom
    parts = [DiagramPart("image", "input", spec.n_inputs(n_channels, ndim), one)]
    parts += [DiagramPart(f"encoder {k + 1}", "down", sum(n), b, k) for k, (n, b) in upper]
    parts.append(DiagramPart("bottom", "bottom", sum(channels), box, level))
    parts += [
        DiagramPart(f"up {k + 1}", "up", (k + 1) * spec.width, b, k) for k, (_, b) in upper[::-1]
    ]
    parts.append(DiagramPart("softmax", "output", n_classes, one))
    shortcuts = tuple((1 + k, len(parts) - 2 - k) for k in range(level))
    return Architecture(tuple(parts), shortcuts, "laid side by side", spec.receptive_field(ndim))


__all__ = [
    "Architecture",
    "DiagramPart",
    "cnn_diagram",
    "describe_architecture",
    "pixel_diagram",
    "pretrained_unet_diagram",
    "unet_diagram",
]
