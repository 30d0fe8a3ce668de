"""Units of length and time: one symbol inside the program, many spellings in files."""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

_SPELLINGS: dict[str, tuple[str, ...]] = {
    "pm": ("picometer", "picometre"),
    "Å": ("angstrom", "ångström", "\u212b"),
    "nm": ("nanometer", "nanometre", "nanometers"),
    "µm": ("\u03bcm", "\\u00b5m", "um", "micron", "microns", "micrometer", "micrometre"),
    "mm": ("millimeter", "millimetre"),
    "cm": ("centimeter", "centimetre"),
    "dm": ("decimeter", "decimetre"),
    "m": ("meter", "metre"),
    "in": ("inch", "inches"),
    "pixel": ("", "pixels", "px", "null", "none", "dimensionless"),
}

_LONG_NAMES = {
    "pm": "picometer",
    "Å": "angstrom",
    "nm": "nanometer",
    "µm": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "dm": "decimeter",
    "m": "meter",
    "in": "inch",
}

# Exact, so that 1.5 µm are 1500 nm and not 1500.0000000000002.
_METRES = {
    "pm": Fraction(1, 10**12),
    "Å": Fraction(1, 10**10),
    "nm": Fraction(1, 10**9),
    "µm": Fraction(1, 10**6),
    "mm": Fraction(1, 1000),
    "cm": Fraction(1, 100),
    "dm": Fraction(1, 10),
    "m": Fraction(1),
    "in": Fraction(254, 10000),
}

_SECONDS = {
    "ns": (Fraction(1, 10**9), ("nanosecond", "nanoseconds", "nsec")),
    "µs": (Fraction(1, 10**6), ("\u03bcs", "us", "microsecond", "microseconds", "usec")),
    "ms": (Fraction(1, 1000), ("millisecond", "milliseconds", "msec")),
    "s": (Fraction(1), ("sec", "second", "seconds")),
    "min": (Fraction(60), ("minute", "minutes")),
    "h": (Fraction(3600), ("hr", "hour", "hours")),
    "d": (Fraction(86400), ("day", "days")),
}

_SYMBOLS = {
    spelling.lower(): symbol
    for symbol, spellings in _SPELLINGS.items()
    for spelling in (symbol, *spellings)
}

_TIMES = {
    spelling: seconds
    for symbol, (seconds, spellings) in _SECONDS.items()
    for spelling in (symbol, *spellings)
}


def symbol_of(name: object) -> str:
    """Return the symbol of a unit in any usual spelling; unknown names are returned unchanged.

    Examples
    --------
    >>> symbol_of("micron"), symbol_of("micrometer"), symbol_of(None)
    ('µm', 'µm', 'pixel')
    """
    text = "" if name is None else str(name).strip()
    return _SYMBOLS.get(text.lower(), text)


def long_name_of(symbol: str) -> str | None:
    """Return the full unit name used in OME files; None for a unit that OME does not define."""
    return _LONG_NAMES.get(symbol)


def metres_of(name: object) -> float | None:
    """Return the length of a unit in metres; None for pixels and unknown names."""
    metres = _METRES.get(symbol_of(name))
    return None if metres is None else float(metres)


def seconds_in(step: float, unit: object) -> float:
    """Convert a time to seconds; 0 when it is no positive number, or the unit is no time.

    Examples
    --------
    >>> seconds_in(250, "ms"), seconds_in(2, "minute"), seconds_in(1, "pixel")
    (0.25, 120.0, 0.0)
    """
    seconds = _TIMES.get(str(unit).strip().lower())
    if seconds is None or not _is_step(step):
        return 0.0
    return step * seconds.numerator / seconds.denominator


def length_in(step: float, unit: object, wanted: object) -> float | None:
    """Convert a length to another unit; None when one of the units is no length.

    Examples
    --------
    >>> length_in(1.5, "micron", "nm"), length_in(1, "pixel", "nm")
    (1500.0, None)
    """
    have, want = _METRES.get(symbol_of(unit)), _METRES.get(symbol_of(wanted))
    if have is None or want is None:
        return None
    factor = have / want
    return step * factor.numerator / factor.denominator


def calibration_of(
    axes: str, steps: Mapping[str, float], units: Mapping[str, object]
) -> dict[str, Any]:
    """Convert the pixel sizes of a file, each in its own unit, to one unit: that of X.

    Parameters
    ----------
    axes
        The axes of the image.
    steps
        The distance of neighbours along each axis that is known, T included.
    units
        The unit of each step in any spelling; a missing one is the pixel.

    Returns
    -------
    dict
        Arguments of `napari_unetseg.core.image.Image`: ``spacing``, ``unit``, ``assumed``,
        ``interval`` and ``notes``. Y and X stand in for each other. Another axis without a step, or
        in a unit that cannot be converted, has the step of X and is listed in ``assumed``.

    Examples
    --------
    >>> found = calibration_of("ZYX", {"Z": 2000, "Y": 0.25, "X": 0.5}, {"Z": "nm", "X": "um"})
    >>> found["spacing"], found["unit"], found["assumed"]
    ((2.0, 0.25, 0.5), 'µm', '')
    """
    known = {axis: float(step) for axis, step in steps.items() if _is_step(float(step))}
    names = {axis: symbol_of(units.get(axis)) for axis in known}
    # An axis of the plane that has a unit stands for one that has none.
    base = min(
        (axis for axis in "XY" if axis in known),
        key=lambda axis: names[axis] == "pixel",
        default=None,
    )
    unit = "pixel" if base is None else names[base]
    found, assumed, notes = [], "", []
    for axis in (axis for axis in axes if axis in "ZYX"):
        step, note = _in_unit(axis, known, names, base, unit)
        if step is None:
            step = known[base] if base is not None else 1.0
            if axis == "Z" and unit != "pixel":
                assumed += axis
        if note:
            notes.append(note)
        found.append(step)
    if unit != "pixel" and unit not in _METRES:
        notes.append(f"the unit {unit!r} is no known length; sizes are given in it as they are")
    interval = seconds_in(known.get("T", 0.0), units.get("T")) if "T" in axes else 0.0
    return {
        "spacing": tuple(found),
        "unit": unit,
        "assumed": assumed,
        "interval": interval,
        "notes": tuple(notes),
    }


def _in_unit(
    axis: str, known: Mapping[str, float], names: Mapping[str, str], base: str | None, unit: str
) -> tuple[float | None, str]:
    """Return the step of an axis in a unit, None when not known, and a note on it."""
    if axis not in known:
        missing = axis == "Z" and unit != "pixel"
        return None, "it has no Z step, so there are no volumes in its unit" * missing
    step, own = known[axis], names[axis]
    if own == unit or (axis in "YX" and own == "pixel"):
        return step, ""
    if base is None or unit == "pixel":
        # A length of one axis alone is no pixel size.
        return 1.0, f"only {axis} has a size ({step:g} {own}), which is not taken"
    converted = length_in(step, own, unit)
    if converted is not None:
        return converted, ""
    if own == "pixel":
        return None, f"its {axis} step has no unit, so there are no volumes in {unit}"
    return None, f"its {axis} step is in {own!r}, which cannot be converted to {unit!r}"


def _is_step(step: float) -> bool:
    return math.isfinite(step) and step > 0


__all__ = [
    "calibration_of",
    "length_in",
    "long_name_of",
    "metres_of",
    "seconds_in",
    "symbol_of",
]
