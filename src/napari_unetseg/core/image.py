"""`Image`: an array with named axes and physical spacing."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike, NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Progress, map_chunks, silent
from napari_unetseg.core.units import symbol_of

AXES = "TCZYX"
"""The axes an image may have: time, channel, depth, row, column."""

RgbChannel = Literal["luminance", "red", "green", "blue"]

Channels = int | str | Sequence[int | str]
"""Choice of channels: numbers from 0, names, or both; text may list several, parted by commas."""

COLOURS = ("red", "green", "blue", "alpha")
"""Names of the channels of a colour image."""

# Rec. 709 luminance weights for linear light, as in scikit-image's rgb2gray.
_LUMINANCE = np.array([0.2125, 0.7154, 0.0721], dtype=np.float32)

_FEW = 5
"""Length up to which a last axis is rather of channels than of columns."""

# Of numpy's dtypes: booleans, whole numbers, fractions.
_KINDS = "buif"

Index = tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Image(NDArrayOperatorsMixin):
    """Array of numbers with named axes and physical spacing.

    numpy, napari and matplotlib take it for an array: it has a shape and a dtype, is indexed like
    its `data`, and arithmetic keeps axes and spacing. ``==`` compares pixel by pixel with numbers
    and arrays; two images are equal only if they are the same object.

    Parameters
    ----------
    data
        Numbers or booleans: a numpy array, or a dask array for anything that stays on disk.
    axes
        One letter of `AXES` per array axis; must contain Y and X, in that order.
    spacing
        Physical size of a pixel along each of the spatial axes present (of Z, Y, X).
    unit
        Name of the unit of `spacing`; ``"pixel"`` when unknown.
    rgb
        The C axis holds red, green and blue of one colour image. A fourth channel is alpha, which
        is no intensity, and is left out.
    channel_names
        A name for each channel, or empty.
    interval
        Seconds between neighbours along T; 0 when unknown.
    assumed
        Axes whose step is unknown although others have a unit (Z, if at all): they have the step
        of X, and nothing is measured along them in `unit`.
    notes
        Remarks of the file's reader on what is missing or was chosen, for the user.
    parents
        Of labels whose objects keep their id through time: the id of the mother of each daughter of
        a division, by the daughter's id. None for all other images.

    Raises
    ------
    InputError
        When the array and the axes do not form a valid image; the message gives the reason.

    See Also
    --------
    Image.of : the usual constructor, which guesses missing arguments.

    Examples
    --------
    >>> image = Image(np.arange(6.0).reshape(2, 3), "YX", (0.5, 0.5), "um")
    >>> image
    Image(axes='YX', shape=(2, 3), dtype=float64, spacing=(0.5, 0.5) µm)
    >>> image * 2 > 5
    Image(axes='YX', shape=(2, 3), dtype=bool, spacing=(0.5, 0.5) µm)
    >>> image[0, 1], float(np.max(image))
    (np.float64(1.0), 5.0)
    """

    data: Any
    axes: str
    spacing: tuple[float, ...] = ()
    unit: str = "pixel"
    rgb: bool = False
    channel_names: tuple[str, ...] = field(default=())
    interval: float = 0.0
    assumed: str = ""
    notes: tuple[str, ...] = field(default=())
    parents: Mapping[int, int] | None = None

    def __post_init__(self) -> None:
        _check_numbers(self.data)
        _check_axes(self.data.shape, self.axes)
        if not self.spacing:
            object.__setattr__(self, "spacing", (1.0,) * len(self.spatial_axes))
        if len(self.spacing) != len(self.spatial_axes):
            raise InputError(
                f"The spacing {self.spacing} has {len(self.spacing)} numbers, but the image has "
                f"{len(self.spatial_axes)} spatial axes ({self.spatial_axes}). Give one for each."
            )
        if not all(math.isfinite(step) and step > 0 for step in self.spacing):
            raise InputError(f"The spacing {self.spacing} must be positive, finite numbers.")
        if not (math.isfinite(self.interval) and self.interval >= 0):
            raise InputError(f"The time between images must not be {self.interval} s.")
        if self.rgb and self.n_channels not in (3, 4):
            raise InputError(
                f"An RGB image has 3 or 4 channels, not {self.n_channels}. "
                "Read it as a multichannel image instead."
            )
        if self.rgb and self.n_channels == 4:
            at = (slice(None),) * self.axes.index("C")
            object.__setattr__(self, "data", self.data[(*at, slice(3))])
            object.__setattr__(self, "channel_names", self.channel_names[:3])

    @classmethod
    def of(
        cls,
        data: Any,
        axes: str | None = None,
        *,
        spacing: Sequence[float] = (),
        unit: str = "pixel",
        rgb: bool | None = None,
        channel_names: Sequence[str] = (),
        interval: float = 0.0,
        assumed: str = "",
        notes: Sequence[str] = (),
    ) -> Self:
        """Make an image, guessing the arguments that are not given.

        Parameters
        ----------
        data
            Anything array-like; zarr arrays and other lazy arrays are wrapped in dask.
        axes
            See `Image`. Guessed from the number of axes when missing: YX, ZYX, TZYX, TCZYX.
        rgb
            Whether the last axis is colour. Guessed when missing: a last axis of 3 or 4 (of 3,
            when `axes` are given) in an array of at least three axes of 8-bit numbers, much longer
            in Y and X.

        Raises
        ------
        InputError
            When `data` cannot be used as an image.
        """
        array = _as_array(data)
        if axes is None:
            colour = _looks_rgb(array) if rgb is None else rgb
            axes = _guess_axes(array.ndim - 1) + "C" if colour else _guess_axes(array.ndim)
        else:
            axes = axes.upper()
            # Four channels on an axis that is named are channels: none of them is lost as alpha.
            guess = axes.endswith("C") and array.shape[-1] == 3 and _looks_rgb(array)
            colour = guess if rgb is None else rgb
        steps, names = tuple(map(float, spacing)), tuple(channel_names)
        return cls(array, axes, steps, unit, colour, names, interval, assumed, tuple(notes))

    def __repr__(self) -> str:
        words = [f"axes={self.axes!r}", f"shape={self.shape}", f"dtype={self.dtype}"]
        if self.calibrated or set(self.spacing) != {1.0}:
            words.append(f"spacing={self.spacing} {symbol_of(self.unit)}")
        words += ["rgb"] * self.rgb + ["lazy"] * self.lazy
        words += [f"interval={self.interval} s"] * bool(self.interval)
        words += [f"assumed={self.assumed!r}"] * bool(self.assumed)
        if self.channel_names:
            words.append(f"channel_names={self.channel_names}")
        return f"Image({', '.join(words)})"

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the numbers as numpy; lazy ones are read."""
        if copy is False and self.lazy:
            raise ValueError("A lazy image has no numbers in memory: allow a copy.")
        return np.array(self.data, dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *given: Any, **how: Any) -> Any:
        """Compute on the numbers; results of this image's shape are images."""
        lazy = method == "__call__"
        given = tuple(_numbers_of(one, lazy=lazy) for one in given)
        out = how.get("out", ())
        if out:
            how["out"] = tuple(_numbers_of(one, lazy=lazy) for one in out)
        made = getattr(ufunc, method)(*given, **how)
        if out:
            return out[0] if len(out) == 1 else out
        fits = getattr(made, "shape", None) == self.shape and made.dtype.kind in _KINDS
        return self.with_data(made) if fits else made

    def __eq__(self, other: object) -> Any:
        """Compare pixel by pixel with numbers; with anything else, by identity."""
        return super().__eq__(other) if _is_numbers(other) else self is other

    def __ne__(self, other: object) -> Any:
        """Compare pixel by pixel with numbers; with anything else, by identity."""
        return super().__ne__(other) if _is_numbers(other) else self is not other

    __hash__ = object.__hash__

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, place: Any) -> Any:
        """Return a part of the numbers, as numpy or dask."""
        return self.data[_numbers_of(place)]

    def __setitem__(self, place: Any, value: Any) -> None:
        """Set a part of the numbers."""
        self.data[_numbers_of(place)] = _numbers_of(value)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, in array order."""
        return tuple(int(length) for length in self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels."""
        return np.dtype(self.data.dtype)

    @property
    def ndim(self) -> int:
        """Number of array axes."""
        return len(self.axes)

    @property
    def lazy(self) -> bool:
        """Whether pixels are read on demand (dask) rather than held in memory."""
        return not isinstance(self.data, np.ndarray)

    @property
    def spatial_axes(self) -> str:
        """The spatial axes: YX or ZYX."""
        return "".join(axis for axis in self.axes if axis in "ZYX")

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Length of each spatial axis."""
        return tuple(self.length(axis) for axis in self.spatial_axes)

    @property
    def n_channels(self) -> int:
        """Number of channels; 1 when there is no channel axis."""
        return self.length("C")

    @property
    def calibrated(self) -> bool:
        """Whether the physical pixel size is known."""
        return self.unit not in ("", "pixel", "pixels", "px")

    @property
    def size(self) -> int:
        """Number of numbers."""
        return math.prod(self.shape)

    def length(self, axis: str) -> int:
        """Return the length of `axis`, 1 when the image does not have it."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    def with_data(self, data: Any) -> "Image":
        """Return an image with the same axes and spacing but other pixels.

        Raises
        ------
        InputError
            When the shape differs.
        """
        if tuple(data.shape) != self.shape:
            raise InputError(f"Expected an array of shape {self.shape}, got {tuple(data.shape)}.")
        return replace(self, data=data)

    def like(
        self, data: Any, axes: str, *, rgb: bool = False, channel_names: Sequence[str] = ()
    ) -> "Image":
        """Return an image of other pixels with the calibration of this one.

        Parameters
        ----------
        data, axes
            Numbers and their axes; the spatial ones are among those of this image.
        rgb, channel_names
            See `Image`.

        Raises
        ------
        InputError
            As `Image`.
        """
        steps = dict(zip(self.spatial_axes, self.spacing, strict=True))
        return replace(
            self,
            data=data,
            axes=axes,
            spacing=tuple(steps[axis] for axis in axes if axis in steps),
            rgb=rgb,
            channel_names=tuple(channel_names),
            interval=self.interval if "T" in axes else 0.0,
            assumed="".join(axis for axis in self.assumed if axis in axes),
        )

    def grey(self, channel: RgbChannel = "luminance") -> "Image":
        """Convert an RGB image to one grey value per pixel; return any other image unchanged.

        Parameters
        ----------
        channel
            ``"luminance"`` for the weighted mean, as float32 in the range of the input, or one
            colour.
        """
        if not self.rgb:
            return self
        at = self.axes.index("C")
        rgb = _move_last(self.data, at)
        if channel == "luminance":
            data = _luminance(rgb)
        else:
            data = rgb[..., ("red", "green", "blue").index(channel)]
        axes = self.axes.replace("C", "")
        return replace(self, data=data, axes=axes, rgb=False, channel_names=())

    def channel(self, which: int | str) -> "Image":
        """Return one channel, without the channel axis; its name stays.

        Parameters
        ----------
        which
            Its number, counted from 0, or its name.

        Raises
        ------
        InputError
            When the channel does not exist; the message lists those that do.
        """
        index = self._channel_number(which)
        names = self.channel_names[index : index + 1]
        if "C" not in self.axes:
            return self
        data = self.data[(slice(None),) * self.axes.index("C") + (index,)]
        axes = self.axes.replace("C", "")
        return replace(self, data=data, axes=axes, rgb=False, channel_names=names)

    def channels(self, which: Channels) -> "Image":
        """Return the chosen channels, in the order of the choice.

        Parameters
        ----------
        which
            See `Channels`. ``"luminance"`` makes a colour image grey; other images stay as they
            are.

        Returns
        -------
        Image
            Without the channel axis if one channel is chosen, and not as a list.

        Raises
        ------
        InputError
            When a channel does not exist, or is chosen twice.

        Examples
        --------
        >>> image = Image.of(np.zeros((2, 4, 4)), "CYX", channel_names=("DAPI", "GFP"))
        >>> image.channels("GFP").axes, image.channels("GFP, 0").channel_names
        ('YX', ('GFP', 'DAPI'))
        """
        if which == "luminance" and which not in self._names():
            return self.grey()
        if isinstance(which, str) and "," in which and which not in self._names():
            which = [word.strip() for word in which.split(",")]
        if isinstance(which, int | str):
            return self.channel(which)
        numbers = [self._channel_number(one) for one in which]
        if not numbers or len(set(numbers)) < len(numbers):
            raise InputError(f"The channels {which!r} must be different channels. Choose others.")
        if "C" not in self.axes:
            return self
        data = self.data[(slice(None),) * self.axes.index("C") + (numbers,)]
        names = tuple(self.channel_names[number] for number in numbers if self.channel_names)
        rgb = self.rgb and numbers in ([0, 1, 2], [0, 1, 2, 3])
        return replace(self, data=data, rgb=rgb, channel_names=names)

    def list_channels(self) -> str:
        """List the channels for a message: their numbers, with names where they have some."""
        names = self._names() or ("",) * self.n_channels
        return ", ".join(
            f"{number} ({name})" if name else str(number) for number, name in enumerate(names)
        )

    def _names(self) -> tuple[str, ...]:
        if self.channel_names or not self.rgb:
            return self.channel_names
        return COLOURS[: self.n_channels]

    def _channel_number(self, which: int | str) -> int:
        """Return the number of a channel; a name that is a number, too, is taken as the name."""
        names = self._names()
        if isinstance(which, str):
            if which in names:
                return names.index(which)
            number = int(which) if which.isdecimal() else -1
        else:
            number = which
        if not 0 <= number < self.n_channels:
            last = self.n_channels - 1
            numbers = f"0 to {last}" if last else "0"
            named = f"are {', '.join(names)}, by number {numbers}" if names else f"are {numbers}"
            raise InputError(f"There is no channel {which!r}: there {named}. Choose one of them.")
        return number

    def loop_shape(self, block: str = "YX") -> tuple[int, ...]:
        """Return the lengths of the axes that are not in `block`, in array order."""
        return tuple(self.length(axis) for axis in self.axes if axis not in block)

    def indices(self, block: str = "YX") -> list[Index]:
        """List the index of every block along the axes not in `block`, in array order."""
        return list(np.ndindex(*self.loop_shape(block)))

    def block_slices(self, index: Index, block: str = "YX") -> tuple[int | slice, ...]:
        """Return the array index of the block at `index`: an integer or slice per axis."""
        remaining = iter(index)
        return tuple(slice(None) if axis in block else next(remaining) for axis in self.axes)

    def block(self, index: Index, block: str = "YX") -> NDArray[Any]:
        """Return one block as a numpy array: a plane for ``"YX"``, a stack for ``"ZYX"``."""
        return read_pixels(self.data[self.block_slices(index, block)])

    def blocks(self, block: str = "YX") -> Iterator[tuple[Index, NDArray[Any]]]:
        """Yield the index and pixels of every block, reading one block at a time."""
        for index in self.indices(block):
            yield index, self.block(index, block)

    def asarray(self, progress: Progress = silent) -> NDArray[Any]:
        """Return all pixels as a numpy array in memory; those of a lazy image are read now."""
        if not self.lazy:
            return np.asarray(self.data)
        from dask.array.core import slices_from_chunks

        pixels = np.empty(self.shape, self.dtype)
        chunks = map_chunks(self.data, np.asarray, progress)
        for box, chunk in zip(slices_from_chunks(self.data.chunks), chunks, strict=True):
            pixels[box] = chunk
        return pixels


def read_pixels(data: Any) -> NDArray[Any]:
    """Return a numpy array of `data`; what is lazy is read now.

    dask's callbacks are left out. One is the cache that napari uses while it reads what is on
    screen: it is one for all threads, and raises KeyError when another thread ends a computation
    with it meanwhile.
    """
    return np.asarray(data.compute(callbacks=()) if hasattr(data, "dask") else data)


def doubt_axes(image: Image) -> str:
    """Return a sentence if X is so short that it is rather an axis of channels; else nothing."""
    along_x, rest = image.length("X"), image.shape[:-1]
    if image.axes[-1] != "X" or along_x > _FEW or len(rest) < 2 or min(rest[-2:]) <= 4 * _FEW:
        return ""
    meant = f"{'TZ'[: max(image.ndim - 3, 0)]}YXC"
    return (
        f"its axes are taken as {image.axes}, which gives planes of {rest[-1]} x {along_x} pixels; "
        f"a last axis of {along_x} is rather of channels, {meant}."
    )


def _numbers_of(given: Any, *, lazy: bool = True) -> Any:
    """Return the numbers of an image, if it is one."""
    if not isinstance(given, Image):
        return given
    return given.data if lazy else given.asarray()


def _is_numbers(given: object) -> bool:
    """Whether pixels can be compared with it: a number or an array, but not an image."""
    return isinstance(given, int | float) or (
        hasattr(given, "__array__") and not isinstance(given, Image)
    )


def _as_array(data: Any) -> Any:
    """Convert `data` to numpy, or to dask where reading all of it could be costly."""
    data = _numbers_of(data)
    if isinstance(data, np.ndarray):
        return data
    if hasattr(data, "dask"):
        return data
    if getattr(data, "chunks", None) and hasattr(data, "shape") and hasattr(data, "dtype"):
        import dask.array

        return dask.array.from_array(data, chunks=data.chunks)
    return np.asarray(data)


def _check_numbers(data: Any) -> None:
    kind = np.dtype(data.dtype).kind
    if kind == "c":
        raise InputError(
            "The image holds complex numbers. Take the magnitude or the phase first, "
            "for example with numpy.abs."
        )
    if kind not in _KINDS:
        raise InputError(f"The image holds {data.dtype}, not numbers. Open another file or layer.")
    if 0 in data.shape:
        raise InputError(f"The image is empty: its shape is {tuple(data.shape)}.")


def _check_axes(shape: tuple[int, ...], axes: str) -> None:
    if len(shape) != len(axes):
        raise InputError(
            f"The axes {axes!r} name {len(axes)} axes, but the image has {len(shape)}: "
            f"its shape is {tuple(shape)}."
        )
    unknown = sorted(set(axes) - set(AXES))
    if unknown or len(set(axes)) != len(axes):
        raise InputError(f"The axes {axes!r} must be different letters of {AXES}.")
    if "YX" not in axes.replace("C", "").replace("Z", "").replace("T", ""):
        raise InputError(f"The axes {axes!r} need Y and X, in that order.")
    if "Z" in axes and axes.index("Z") > axes.index("Y"):
        raise InputError(f"The axes {axes!r} need Z before Y.")


def _guess_axes(ndim: int) -> str:
    if ndim < 2:
        raise InputError(
            f"An image has at least two axes, rows and columns; this array has {max(ndim, 0)}."
        )
    if ndim > len(AXES):
        raise InputError(
            f"This array has {ndim} axes. Name the axes, or take a part with at most {len(AXES)} "
            f"({AXES})."
        )
    return {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TCZYX"}[ndim]


def _looks_rgb(array: Any) -> bool:
    if array.ndim < 3 or array.shape[-1] not in (3, 4) or array.dtype != np.uint8:
        return False
    return bool(min(array.shape[-3:-1]) > 4)


def _move_last(data: Any, axis: int) -> Any:
    if isinstance(data, np.ndarray):
        return np.moveaxis(data, axis, -1)
    order = [k for k in range(data.ndim) if k != axis] + [axis]
    return data.transpose(order)


def _luminance(rgb: Any) -> Any:
    """Return the weighted mean of red, green and blue on the last axis, float32."""
    if isinstance(rgb, np.ndarray):
        grey: NDArray[np.float32] = np.tensordot(rgb[..., :3].astype(np.float32), _LUMINANCE, 1)
        return grey
    whole = rgb.rechunk({rgb.ndim - 1: -1})
    return whole.map_blocks(_luminance, dtype=np.float32, drop_axis=rgb.ndim - 1)


__all__ = ["AXES", "COLOURS", "Channels", "Image", "Index", "RgbChannel", "doubt_axes"]
