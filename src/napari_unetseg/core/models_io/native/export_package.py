"""Export: a model package for other programs, with all that a stranger needs to use it."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io.paths import writing
from napari_unetseg.core.model.trained_model import ModelCard, TrainedModel
from napari_unetseg.core.models_io.native.example_tensors import sides_of
from napari_unetseg.core.models_io.native.network_source import callable_of
from napari_unetseg.core.models_io.native.package import SUFFIX, PathLike, members_of
from napari_unetseg.core.models_io.native.package_description import OPSET
from napari_unetseg.core.models_io.native.zip_archive import Archive, written_zip
from napari_unetseg.core.normalisation import fit_normalisation
from napari_unetseg.core.options import option

Array = NDArray[Any]

FORMATS = ("torchscript", "onnx")
"""What the weights can be written in besides the state dict."""

_MAX_PIXELS = 2**22
_COVER_SIDE = 512
_MAX_SCRIPT_BYTES = 2**31


class ExportOptions(ModelCard):
    """What others are told of a model, and in which formats they get its weights."""

    weights: str = option(
        "torchscript",
        "Further weights",
        "Formats beside the state dict that every package has: torchscript, onnx, both with a "
        "comma between, or nothing. ONNX needs the package onnx.",
        suggestions=("torchscript", "torchscript, onnx", "onnx", ""),
    )

    @field_validator("weights")
    @classmethod
    def _known(cls, text: str) -> str:
        names = text.replace(",", " ").split()
        unknown = [name for name in names if name not in FORMATS]
        if unknown:
            raise ValueError(
                f"There are no weights {unknown[0]!r}. Choose of {', '.join(FORMATS)}, or nothing."
            )
        return ", ".join(name for name in FORMATS if name in names)

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats by name."""
        return tuple(filter(None, self.weights.split(", ")))

    @classmethod
    def of(cls, model: TrainedModel) -> Self:
        """Return what the model itself says."""
        return cls(**model.card.model_dump())


def export(model: TrainedModel, path: PathLike, options: ExportOptions) -> TrainedModel:
    """Write a model for other programs. Imports torch.

    Parameters
    ----------
    path
        A name ending in ``.zip``. What is there is replaced in one step, or stays when it fails.
    options
        What is said of the model; where nothing is, what the model says itself.

    Returns
    -------
    TrainedModel
        The model with what was said of it.

    Raises
    ------
    InputError
        When nobody says under which licence others may use it, the format's example would be too
        large, a package is missing, or the place cannot be written.
    """
    if Path(path).suffix.lower() != SUFFIX:
        raise InputError(f"The model file {path} must end in {SUFFIX}.")
    said = {name: getattr(options, name) for name in ModelCard.model_fields}
    card = model.card.model_copy(update={name: text for name, text in said.items() if text})
    if not card.licence:
        raise InputError(
            f"Nothing is said of the licence of {model.name!r}, so nobody could use it. Choose "
            "one, such as CC-BY-4.0 or CC0-1.0."
        )
    if options.formats and model.features_from is not None:
        raise InputError(
            f"{model.name!r} sees the features of a UNet: its weights can be written as a state "
            "dict only. Leave the further weights out."
        )
    least = sides_of(model).least
    if np.prod(least) > _MAX_PIXELS:
        raise InputError(
            f"The network looks so far that an example takes {' x '.join(map(str, least))} pixels, "
            "too many for a package. Train one of less depth."
        )
    told = replace(model, card=card)

    def more(image: Array, proba: NDArray[np.float32]) -> dict[str, bytes]:
        made = {"cover.png": cover_of(image, proba)}
        return made | _weights(told, image, options.formats)

    data = written_zip(members_of(told, max_pixels=_MAX_PIXELS, more=more))
    with writing(path) as draft:
        draft.write_bytes(data)
    return told


def _weights(model: TrainedModel, image: Array, formats: tuple[str, ...]) -> dict[str, bytes]:
    if not formats:
        return {}
    from napari_unetseg.core.nn.inference.exported import onnx_of, torchscript_of

    inputs = callable_of(model)[1].get("inputs", {})
    whole = Image(image, "C" + "ZYX"[-model.ndim :])
    scaled = fit_normalisation(whole, model.normalisation).apply(image)
    made = {}
    if "torchscript" in formats:
        made["weights.torchscript"] = _without_traces(torchscript_of(model, inputs, scaled))
    if "onnx" in formats:
        made["weights.onnx"] = onnx_of(model, inputs, scaled, OPSET)
    return made


def _without_traces(data: bytes) -> bytes:
    """Return a TorchScript file without the places of the source on this machine."""
    with Archive(io.BytesIO(data), "The script", max_bytes=_MAX_SCRIPT_BYTES) as archive:
        kept = [name for name in archive.names if not name.endswith(".debug_pkl")]
        members = {name: archive.read(name, _MAX_SCRIPT_BYTES) for name in kept}
    return written_zip(members, alignment=64)


def cover_of(image: Array, proba: NDArray[np.float32]) -> bytes:
    """Return a picture for people, as PNG: the image, and on its right half what was found.

    Parameters
    ----------
    image, proba
        (C, *spatial) and (K, *spatial), of which the middle plane of the first channel is shown.
        Where there are several probabilities, the brighter the likelier is any but the first.
    """
    from PIL import Image as Picture

    found = proba[0] if len(proba) == 1 else 1 - proba[0]
    shown = image[0].astype(np.float32)
    while shown.ndim > 2:
        shown, found = shown[len(shown) // 2], found[len(found) // 2]
    grey = _stretched(shown)
    ends = [(a - b) // 2 for a, b in zip(grey.shape, found.shape, strict=True)]
    inner = grey[ends[0] : ends[0] + found.shape[0], ends[1] : ends[1] + found.shape[1]].copy()
    half = inner.shape[1] // 2
    inner[:, half:] = np.clip(255 * found[:, half:], 0, 255)
    picture = Picture.fromarray(inner)
    picture.thumbnail((_COVER_SIDE, _COVER_SIDE))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def _stretched(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = np.percentile(plane, [1, 99.8])
    scaled = (plane - low) / max(high - low, 1e-12)
    grey: NDArray[np.uint8] = np.clip(255 * scaled, 0, 255).astype(np.uint8)
    return grey


__all__ = ["FORMATS", "ExportOptions", "cover_of", "export"]
