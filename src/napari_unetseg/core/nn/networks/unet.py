"""The UNet, for planes and stacks, from one definition.

Depends on torch and on `blocks` alone, so that it can travel inside a model file.

How far it sees (halo, receptive field) is worked out from its options in `receptive_field.py`.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from napari_unetseg.core.nn.networks.blocks import (
    CONVOLUTION,
    RESOLUTION_HALVINGS,
    Add,
    AttentionGate,
    Concatenate,
    CropTo,
    DepthToSpace,
    Enlarge,
    Join,
    Shrink,
    Sizes,
    SpaceToDepth,
    Style,
    Unchanged,
    block,
    downsampling,
    initialise,
    upsampling,
)

STEM_HALVINGS = {"plain": 0, "space-to-depth": 1, "space-to-depth-4": 2}
"""How many halvings of the image each stem stands for."""


class UNet(nn.Module):
    """Map an image to evidence for each class, pixel by pixel.

    ::

        image ── stem ── encode ─────────── join ── decode ── head ── evidence
                            down           up
                              encode ─ join ─ decode
                                down  up
                                 bottom

    Parameters
    ----------
    n_inputs, n_outputs
        Channels in, and numbers of evidence out.
    ndim
        2 for planes, 3 for stacks.
    **options
        The fields of `UNetSpec`, which describes each.

    Attributes
    ----------
    offset
        Place in the input of the first pixel of the output, per axis: zeros when convolutions are
        padded, for then both have the same sides.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        ndim: int,
        *,
        depth: int,
        width: int,
        growth: float,
        stem: str,
        head: str,
        pooling: str,
        upsampling: str,
        skip: str,
        attention: bool,
        flat_levels: int,
        resolution: str,
        **style: Any,
    ) -> None:
        super().__init__()
        look = Style(ndim=ndim, **style)
        lowered, stemmed = RESOLUTION_HALVINGS[resolution], STEM_HALVINGS[stem]
        shrunk = look.box(lowered, flat_levels)
        flat_levels = max(flat_levels - lowered, 0)
        box = look.box(stemmed, flat_levels)
        pixels = math.prod(box)
        widths = [round(width * growth**level) for level in range(depth + 1)]
        inputs = [n_inputs * pixels, *widths]

        flat = [level + stemmed < flat_levels for level in range(depth + 1)]
        bottom = block(inputs[depth], widths[depth], look.kernel(flat[depth]), look)
        inside, offset = bottom, look.trim(look.kernel(flat[depth]), look.convolutions)
        for level in reversed(range(depth)):
            around = Level(
                inside,
                offset,
                (inputs[level], widths[level], widths[level + 1]),
                look,
                flat=flat[level],
                pooling=pooling,
                upsampling_=upsampling,
                skip=skip,
                attention=attention,
            )
            inside, offset = around, around.offset

        self.stem: nn.Module = SpaceToDepth(box)
        self.body = inside
        self.offset = tuple(step * size for step, size in zip(offset, box, strict=True))
        if head == "linear" and pixels > 1:
            enlarge = Enlarge(box, trim=look.padding == "valid", n=n_outputs)
            self.head = nn.Sequential(CONVOLUTION[ndim](width, n_outputs, 1), enlarge)
            self.offset = tuple(a + b for a, b in zip(self.offset, enlarge.ends, strict=True))
        else:
            self.head = nn.Sequential(
                CONVOLUTION[ndim](width, n_outputs * pixels, 1), DepthToSpace(box)
            )
        if lowered:
            whole = Enlarge(shrunk, trim=look.padding == "valid", n=n_outputs)
            self.stem = nn.Sequential(Shrink(shrunk), self.stem)
            self.head.append(whole)
            steps = zip(self.offset, shrunk, whole.ends, strict=True)
            self.offset = tuple(start * side + end for start, side, end in steps)
        initialise(self)
        self._smooth_head(n_outputs)

    def _smooth_head(self, n_outputs: int) -> None:
        """Initialise the weights of every pixel of a box alike.

        Drawn one by one they would start as a pattern of the box's size, which training removes
        slowly, and not at all where the network is unsure.

        References
        ----------
        Aitken et al.: Checkerboard artifact free sub-pixel convolution, 2017.
        """
        if next(self.parameters()).is_meta:
            return
        with torch.no_grad():
            for weights in self.head[0].parameters():
                weights.copy_(torch.cat([weights[:n_outputs]] * (len(weights) // n_outputs)))

    def forward(self, x: Tensor) -> Tensor:
        """Return evidence (N, n_outputs, *spatial) for images (N, n_inputs, *spatial)."""
        return self.head(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """Compute the activations of the last level, (N, width, *spatial).

        With a space-to-depth stem or at a lower resolution there is one pixel for each box.
        """
        return self.body(self.stem(x))

    def encoder(self) -> list[nn.Module]:
        """Return the modules of the encoder, which a transfer keeps: outermost first."""
        modules, level = [], self.body
        while isinstance(level, Level):
            modules += [level.encode, level.down]
            level = level.inside
        return [*modules, level]


class Level(nn.Module):
    """One level of a UNet around the levels inside it.

    Parameters
    ----------
    inside
        The next level, or the bottom.
    offset
        Place in its input of the first pixel of its output.
    widths
        Channels that enter, of this level, and of the one inside.
    """

    def __init__(
        self,
        inside: nn.Module,
        offset: Sizes,
        widths: tuple[int, int, int],
        style: Style,
        *,
        flat: bool,
        pooling: str,
        upsampling_: str,
        skip: str,
        attention: bool,
    ) -> None:
        super().__init__()
        entering, width, below = widths
        kernel, stride = style.kernel(flat), style.kernel(flat, size=2)
        lost = (0,) * style.ndim
        if upsampling_ in ("nearest", "transposed-4"):
            lost = style.trim(kernel)
        elif upsampling_ == "linear" and style.alignment == "middles":
            lost = Enlarge(stride, trim=style.padding == "valid").ends
        start = tuple(a * step + b for a, step, b in zip(offset, stride, lost, strict=True))
        ends = style.trim(kernel, style.convolutions)

        self.encode = block(entering, width, kernel, style)
        self.down = downsampling(pooling, width, stride, style.ndim)
        self.inside = inside
        self.up = upsampling(upsampling_, below, width, stride, style)
        self.join = Join(
            CropTo(start) if style.padding == "valid" else Unchanged(),
            AttentionGate(width, style.ndim) if attention else Unchanged(),
            Concatenate() if skip == "concat" else Add(),
        )
        self.decode = block(2 * width if skip == "concat" else width, width, kernel, style)
        self.offset = tuple(first + 2 * end for first, end in zip(start, ends, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        skip = self.encode(x)
        up = self.up(self.inside(self.down(skip)))
        return self.decode(self.join(skip, up))
