"""Channels of an image for a model, found by the names that it was trained on."""

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.trained_model import TrainedModel


def named_channels(model: TrainedModel, image: Image) -> Image:
    """Return the channels of an image that a model takes, by name, in the order of the model.

    An image of as many channels that has none of the names is returned as it is, and so is one
    where image or model have no names; colour pictures are, too.

    Raises
    ------
    InputError
        When the image has only some of the channels, or lacks one among others; the message names
        those that are missing.
    """
    wanted, there = model.channel_names, image.channel_names
    if not wanted or not there or model.rgb or image.rgb or wanted == there:
        return image
    missing = [name for name in wanted if name not in there]
    if not missing:
        return image.channels(wanted) if len(wanted) > 1 else image.channel(wanted[0])
    alike = len(wanted) == len(there)
    moved = any(name in there and there.index(name) != wanted.index(name) for name in wanted)
    if alike and not moved:
        return image
    lacking = "is" if len(missing) == 1 else "are"
    raise InputError(
        f"The model takes {_listed(wanted)}; the image has {image.list_channels()}, and "
        f"{_listed(missing)} {lacking} missing. Choose as many channels as the model takes, in its "
        "order."
    )


def _listed(names: tuple[str, ...] | list[str]) -> str:
    """List names of channels: ``DAPI``, ``DAPI and GFP``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


__all__ = ["named_channels"]
