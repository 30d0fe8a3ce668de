"""Length units: one symbol inside the program, many spellings in files."""

_SPELLINGS: dict[str, tuple[str, ...]] = {
    "Å": ("angstrom", "ångström", "\u212b"),
    "nm": ("nanometer", "nanometre", "nanometers"),
    "µm": ("\u03bcm", "\\u00b5m", "um", "micron", "microns", "micrometer", "micrometre"),
    "mm": ("millimeter", "millimetre"),
    "cm": ("centimeter", "centimetre"),
    "m": ("meter", "metre"),
    "pixel": ("", "pixels", "px", "null", "none", "dimensionless"),
}

_LONG_NAMES = {
    "Å": "angstrom",
    "nm": "nanometer",
    "µm": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
}

_METRES = {"Å": 1e-10, "nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}

_SYMBOLS = {
    spelling.lower(): symbol
    for symbol, spellings in _SPELLINGS.items()
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
    return _METRES.get(symbol_of(name))
