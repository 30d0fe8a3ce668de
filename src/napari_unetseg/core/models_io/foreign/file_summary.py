"""Summarise a foreign model file as plain data to display, without running it."""

from pathlib import Path
from typing import Any

from napari_unetseg.core.models_io.foreign.foreign_description import Axis, Description
from napari_unetseg.core.models_io.foreign.onnx_file import OnnxSummary
from napari_unetseg.core.models_io.foreign.unet_layouts import match_layout
from napari_unetseg.core.models_io.native.state_dict import read_state_dict


def summarise_onnx(facts: OnnxSummary, path: Path) -> dict[str, Any]:
    """Summarise an ONNX file."""
    ports = {port.name: _sides_in_words(port.sides) for port in facts.inputs}
    results = {port.name: _sides_in_words(port.sides) for port in facts.outputs}
    size = {"weights": facts.n_parameters, "bytes": path.stat().st_size}
    return {"name": path.stem, "format": "ONNX", "images": ports, "results": results, **size}


def summarise_torch(path: Path, *, script: bool) -> dict[str, Any]:
    """Summarise a PyTorch file."""
    size = {"name": path.stem, "bytes": path.stat().st_size}
    if script:
        return {**size, "format": "TorchScript: can execute code, opened only with --trust"}
    layout = match_layout(read_state_dict(path.read_bytes()))
    return {
        **size,
        "format": "PyTorch state dict of a UNet",
        "axes": "YX" if layout.ndim == 2 else "ZYX",
        "channels": layout.n_channels,
        "results": layout.n_outputs,
        "skip connections": "by the names" if layout.sure else "assumed first in the concatenation",
        "options": layout.spec.model_dump(),
        "weights": sum(array.size for array in layout.state.values()),
    }


def summarise_package(description: Description, number: int, *, example: bool) -> dict[str, Any]:
    """Summarise a package."""
    image, result = description.inputs[0], description.outputs[number]
    included = [name for name in description.weights if description.weights[name].link.is_here]
    others = [tensor.name for k, tensor in enumerate(description.outputs) if k != number]
    return {
        "name": description.name,
        "description": description.text,
        "format": f"bioimage.io {description.version}",
        "authors": list(description.authors),
        "licence": description.licence,
        "cite": list(description.cite),
        "axes": image.kinds,
        "channels": list(image.channel_names) or image.n_channels,
        "sizes": {axis.kind: _size_in_words(axis) for axis in image.space},
        "pixel size": {axis.kind: f"{axis.scale:g} {axis.unit}".strip() for axis in image.space},
        "before": [step.name for step in image.steps],
        "result": {
            "name": result.name,
            "axes": result.kinds,
            "channels": list(result.channel_names) or result.n_channels,
            "halo": {axis.kind: axis.halo for axis in result.space},
        },
        "after": [step.name for step in result.steps],
        "other results, not used": others,
        "weights": {
            name: "here" if name in included else "not in the package"
            for name in description.weights
        },
        "example": "yes" if example else "none",
    }


def _size_in_words(axis: Axis) -> str:
    return f"{axis.least} + any times {axis.step}" if axis.step else f"exactly {axis.least}"


def _sides_in_words(sides: tuple[int, ...]) -> str:
    return " x ".join(str(side) if side else "any" for side in sides)


__all__ = ["summarise_onnx", "summarise_package", "summarise_torch"]
