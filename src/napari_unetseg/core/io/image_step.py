"""Define the options of reading an image: its axes, channels and scene."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from napari_unetseg.core.options import Options, option


def _as_letters(value: Any) -> Any:
    """Convert letters to capitals."""
    return value.upper() if isinstance(value, str) else value


def _as_names(value: Any) -> Any:
    """Convert numbers, and lists of numbers and names, to text."""
    if isinstance(value, list | tuple):
        return ", ".join(str(_as_names(one)) for one in value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Names = Annotated[str, BeforeValidator(_as_names)]
"""Names or numbers, several parted by commas."""


class ImageStep(Options):
    """Set the axes and the channels of an image to process."""

    axes: Annotated[str, BeforeValidator(_as_letters)] = option(
        "",
        "Axes",
        "One letter of TCZYX for each axis, such as YXC, for files that do not store them; empty "
        "uses the axes of the file.",
        pattern=r"^[TCZYX]{0,5}$",
    )
    channel: Names = option(
        "",
        "Channel",
        "Which channel to use: its name, or its number counted from 0; several parted by commas; "
        "of RGB images luminance, red, green or blue; empty for all channels.",
    )
    scene: Names = option(
        "",
        "Scene",
        "Name, or number from 0, of the image to read from files that hold several; empty for the "
        "first.",
    )


__all__ = ["ImageStep", "Names"]
