"""Receptive fields and halos: which pixels of an image a network's output depends on.

A network is traversed backwards, axis by axis: a range of output pixels needs a range of input
pixels; a convolution widens it, down- and upsampling scale it. The part of it beyond a tile that
starts and ends on the pooling grid is the halo.
"""

import math
from collections.abc import Callable, Sequence

from napari_unetseg.core.compute.rounding import round_up

Range = tuple[int, int]
"""First and last pixel of a range along one axis."""

Needs = Callable[[int, int], Range]
"""From the first and last pixel of an output to the range of the input that it depends on."""

# The range before upsampling that a range after it needs, given the stride and the radius of the
# convolution. Downsampling only scales a range, so it needs no table.
_UPSAMPLED: dict[str, Callable[[int, int, int, int], Range]] = {
    "transposed-2": lambda first, last, stride, _: (first // stride, last // stride),
    "transposed-3": lambda first, last, stride, _: (first // stride, -(-last // stride)),
    "linear": lambda first, last, stride, _: (first // stride, -(-last // stride)),
    "nearest": lambda first, last, stride, r: ((first - r) // stride, (last + r) // stride),
    "transposed-4": lambda first, last, stride, r: ((first - r) // stride, (last + r) // stride),
    "middles": lambda first, last, stride, _: _interpolated(first, last, stride),
}


def halo_beyond(needs: Needs, multiple: int) -> int:
    """Return the halo of a tile on the pooling grid, in pixels along one axis.

    Parameters
    ----------
    needs
        Input range of an output range.
    multiple
        Spacing of the grid, to which the halo is rounded up.
    """
    first, last = needs(0, multiple - 1)
    return round_up(max(-first, last - multiple + 1), multiple)


def receptive_field_of(needs: Needs, multiple: int) -> int:
    """Return the receptive field along one axis, in pixels.

    The largest over the pixels of a block of `multiple`, with padded convolutions.
    """
    ranges = [needs(place, place) for place in range(multiple)]
    return max(last - first + 1 for first, last in ranges)


def cnn_needs(
    reaches: Sequence[int], strides: Sequence[int], enlarged: int, *, upsampling: str
) -> Needs:
    """Return the input ranges of a chain of convolutions along one axis.

    Parameters
    ----------
    reaches
        Pixels to either side that each convolution covers.
    strides
        Strides of the pooling after the first convolutions; 1 where the axis is not halved.
    enlarged
        Factor by which the image is shrunk before and the result interpolated after.
    upsampling
        ``"middles"`` where the pooling is undone in one interpolation between the middles of its
        boxes, ``"linear"`` where from corner to corner, one stride after the other.
    """

    def needs(first: int, last: int) -> Range:
        first, last = _interpolated(first, last, enlarged)
        for stride in [math.prod(strides)] if upsampling == "middles" else strides:
            first, last = _UPSAMPLED[upsampling](first, last, stride, 0)
        for layer in reversed(range(len(reaches))):
            if layer < len(strides):
                first, last = first * strides[layer], (last + 1) * strides[layer] - 1
            first, last = first - reaches[layer], last + reaches[layer]
        return first * enlarged, last * enlarged + enlarged - 1

    return needs


def unet_needs(
    radii: Sequence[int],
    strides: Sequence[int],
    *,
    convolutions: int,
    upsampling: str,
    box: int,
    enlarged: int,
    head: str = "learnt",
) -> Needs:
    """Return the input ranges of a UNet along one axis.

    Parameters
    ----------
    radii
        Radius of the convolutions of each level, first to last.
    strides
        Strides between the levels.
    convolutions
        Number at each level, in the encoder and again in the decoder.
    upsampling
        See `UNetSpec`; ``"middles"`` for linear interpolation between the middles of boxes.
    box
        Pixels of the image that share one of the first level's.
    enlarged
        Factor by which the result is interpolated.
    head
        See `UNetSpec`.
    """

    def of_level(first: int, last: int, level: int) -> Range:
        reach = convolutions * radii[level]
        first, last = first - reach, last + reach
        if level == len(strides):
            return first, last
        stride = strides[level]
        up = _UPSAMPLED[upsampling](first, last, stride, radii[level])
        below = of_level(*up, level + 1)
        first, last = min(first, below[0] * stride), max(last, below[1] * stride + stride - 1)
        return first - reach, last + reach

    def needs(first: int, last: int) -> Range:
        first, last = _interpolated(first, last, enlarged)
        by = "middles" if head == "linear" else "transposed-2"
        below = of_level(*_UPSAMPLED[by](first, last, box // enlarged, 0), 0)
        return below[0] * box, below[1] * box + box - 1

    return needs


def trunk_needs(taps: Sequence[tuple[int, int, int]], enlarged: int) -> Needs:
    """Return the input ranges of a UNet over a trunk along one axis, see `PretrainedUNetSpec`.

    Parameters
    ----------
    taps
        Of each output of the trunk, finest first: pixels from one to the next, and the first and
        last pixel that its first one depends on.
    enlarged
        Factor by which the image is shrunk before and the result interpolated after.
    """

    def needs(first: int, last: int) -> Range:
        first, last = _interpolated(first, last, enlarged)
        found: list[Range] = []
        finest, *_, coarsest = steps = sorted({step for step, _, _ in taps})
        for step in steps:
            first, last = _interpolated(first, last, 2)
            if step != coarsest:
                first, last = first - 1, last + 1
            if step == finest:
                # The convolution past the trunk sees boxes of so many pixels.
                found.append(((first - 1) * step, (last + 2) * step - 1))
            found += [(first * step + a, last * step + b) for s, a, b in taps if s == step]
        first, last = min(a for a, _ in found), max(b for _, b in found)
        return first * enlarged, last * enlarged + enlarged - 1

    return needs


def unpadded_output(
    length: int, radii: Sequence[int], strides: Sequence[int], *, convolutions: int, upsampling: str
) -> Range:
    """Return the start and the length of a UNet's output where no convolution is padded.

    Parameters
    ----------
    length
        Length of the first level's input, in its pixels.
    radii, strides, convolutions, upsampling
        See `unet_needs`.
    """
    trim = convolutions * radii[0]
    length -= 2 * trim
    if not strides:
        return trim, length
    stride = strides[0]
    start, length = unpadded_output(
        length // stride,
        radii[1:],
        strides[1:],
        convolutions=convolutions,
        upsampling=upsampling,
    )
    start, length = start * stride, length * stride
    if upsampling in ("transposed-3", "linear"):
        length -= stride - 1
    if upsampling == "middles" and stride > 1:
        start, length = start + stride, length - 2 * stride
    if upsampling in ("nearest", "transposed-4"):
        start, length = start + radii[0], length - 2 * radii[0]
    return trim + start + trim, length - 2 * trim


def _interpolated(first: int, last: int, shrink: int) -> Range:
    """Return the range of a shrunken image that a linear interpolation to a range needs."""
    return (2 * first + 1 - shrink) // (2 * shrink), -((shrink - 1 - 2 * last) // (2 * shrink))


__all__ = [
    "Needs",
    "Range",
    "cnn_needs",
    "halo_beyond",
    "receptive_field_of",
    "trunk_needs",
    "unet_needs",
    "unpadded_output",
]
