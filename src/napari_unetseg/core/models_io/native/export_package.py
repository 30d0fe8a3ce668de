"""Export a model package for other programs, with everything needed to use it."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.trained_model import ModelCard, TrainedModel
from napari_unetseg.core.models_io.native.example_tensors import input_sides
from napari_unetseg.core.models_io.native.network_source import shown_inputs
from napari_unetseg.core.models_io.native.package import (
    SUFFIX,
    PathLike,
    package_files,
    write_package_file,
)
from napari_unetseg.core.models_io.native.package_description import OPSET
from napari_unetseg.core.models_io.native.zip_archive import Archive, zip_bytes
from napari_unetseg.core.normalisation import fit_normalisation
from napari_unetseg.core.options import option

Array = NDArray[Any]

FORMATS = ("torchscript", "onnx")
"""Formats of the weights besides the state dict."""

_MAX_PIXELS = 2**22
_COVER_SIDE = 512
_MAX_SCRIPT_BYTES = 2**31


class ExportOptions(ModelCard):
    """Set the model card and the weight formats of an export."""

    weights: str = option(
        "torchscript",
        "Further weights",
        "Formats in addition to the state dict: torchscript, onnx, or both, separated by a comma; "
        "empty for none. ONNX needs the package onnx.",
        suggestions=("torchscript", "torchscript, onnx", "onnx", ""),
    )

    @field_validator("weights")
    @classmethod
    def _known(cls, text: str) -> str:
        names = text.replace(",", " ").split()
        unknown = [name for name in names if name not in FORMATS]
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is not a weight format. Choose from {', '.join(FORMATS)}, or "
                "leave it empty."
            )
        return ", ".join(name for name in FORMATS if name in names)

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats by name."""
        return tuple(filter(None, self.weights.split(", ")))

    @classmethod
    def of(cls, model: TrainedModel) -> Self:
        """Make the options from the model's own card."""
        return cls(**model.card.model_dump())


def export(model: TrainedModel, path: PathLike, options: ExportOptions) -> TrainedModel:
    """Write a model package for other programs. Imports torch.

    Parameters
    ----------
    path
        A name ending in ``.zip``. An existing file is replaced atomically, or stays if writing
        fails.
    options
        The card and the formats; empty fields take those of the model's own card.

    Returns
    -------
    TrainedModel
        The model with the exported card.

    Raises
    ------
    InputError
        When there is no licence, the example would be too large, a Python package is missing, or
        the file cannot be written.
    """
    if Path(path).suffix.lower() != SUFFIX:
        raise InputError(f"The model file {path} must end in {SUFFIX}.")
    own_fields = {name: getattr(options, name) for name in ModelCard.model_fields}
    card = model.card.model_copy(update={name: text for name, text in own_fields.items() if text})
    if not card.licence:
        raise InputError(
            f"{model.name!r} has no licence, so nobody else may use it. Choose one, such as "
            "CC-BY-4.0 or CC0-1.0."
        )
    if options.formats and model.features_from is not None:
        raise InputError(
            f"{model.name!r} uses the features of a UNet: its weights can be written as a state "
            "dict only. Leave the further weights empty."
        )
    least = input_sides(model).least
    if np.prod(least) > _MAX_PIXELS:
        raise InputError(
            "The receptive field of the network is so large that an example takes "
            f"{' x '.join(map(str, least))} pixels, too many for a package. Train one of less "
            "depth."
        )
    described = replace(model, card=card)

    def more(image: Array, proba: NDArray[np.float32]) -> dict[str, bytes]:
        extra = {"cover.png": draw_cover(image, proba)}
        return extra | _weights(described, image, options.formats)

    data = zip_bytes(package_files(described, max_pixels=_MAX_PIXELS, more=more))
    write_package_file(path, data)
    return described


def _weights(model: TrainedModel, image: Array, formats: tuple[str, ...]) -> dict[str, bytes]:
    if not formats:
        return {}
    from napari_unetseg.core.nn.inference.exported import onnx_of, torchscript_of

    inputs = shown_inputs(model)
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
    return zip_bytes(members, alignment=64)


def draw_cover(image: Array, proba: NDArray[np.float32]) -> bytes:
    """Draw a cover picture, as PNG: the image, with the prediction on its right half.

    Parameters
    ----------
    image, proba
        (C, *spatial) and (K, *spatial); the middle plane of the first channel is shown. With
        several probabilities, brightness is the probability of any class but the first.
    """
    from PIL import Image as Picture

    foreground = proba[0] if len(proba) == 1 else 1 - proba[0]
    plane = image[0].astype(np.float32)
    while plane.ndim > 2:
        plane, foreground = plane[len(plane) // 2], foreground[len(foreground) // 2]
    grey = _stretched(plane)
    ends = [(a - b) // 2 for a, b in zip(grey.shape, foreground.shape, strict=True)]
    inner = grey[
        ends[0] : ends[0] + foreground.shape[0], ends[1] : ends[1] + foreground.shape[1]
    ].copy()
    half = inner.shape[1] // 2
    inner[:, half:] = np.clip(255 * foreground[:, half:], 0, 255)
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


__all__ = ["FORMATS", "ExportOptions", "draw_cover", "export"]
