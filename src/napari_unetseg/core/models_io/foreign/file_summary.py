"""What a file of others says of itself, in words for people; nothing in it is run."""

from pathlib import Path
from typing import Any

from napari_unetseg.core.models_io.foreign.foreign_description import Axis, Description
from napari_unetseg.core.models_io.foreign.onnx_file import OnnxFacts
from napari_unetseg.core.models_io.foreign.unet_layouts import match_layout
from napari_unetseg.core.models_io.native.state_dict import read_state_dict


def onnx_in_words(facts: OnnxFacts, place: Path) -> dict[str, Any]:
    """Return what is seen of an ONNX file."""
    ports = {port.name: _sides_in_words(port.sides) for port in facts.inputs}
    results = {port.name: _sides_in_words(port.sides) for port in facts.outputs}
    size = {"weights": facts.n_parameters, "bytes": place.stat().st_size}
    return {"name": place.stem, "format": "ONNX", "images": ports, "results": results, **size}


def torch_in_words(place: Path, *, script: bool) -> dict[str, Any]:
    """Return what is seen of a file of PyTorch."""
    size = {"name": place.stem, "bytes": place.stat().st_size}
    if script:
        return {**size, "format": "TorchScript: a program, run only when you say --trust"}
    layout = match_layout(read_state_dict(place.read_bytes()))
    return {
        **size,
        "format": "PyTorch state dict of a UNet",
        "axes": "YX" if layout.ndim == 2 else "ZYX",
        "channels": layout.n_channels,
        "results": layout.n_outputs,
        "shortcuts": "by the names" if layout.sure else "assumed before what comes up",
        "options": layout.spec.model_dump(),
        "weights": sum(array.size for array in layout.state.values()),
    }


def package_in_words(said: Description, number: int, *, example: bool) -> dict[str, Any]:
    """Return what a package says."""
    image, result = said.inputs[0], said.outputs[number]
    here = [name for name in said.weights if said.weights[name].link.is_here]
    others = [tensor.name for k, tensor in enumerate(said.outputs) if k != number]
    return {
        "name": said.name,
        "description": said.text,
        "format": f"bioimage.io {said.version}",
        "authors": list(said.authors),
        "licence": said.licence,
        "cite": list(said.cite),
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
            name: "here" if name in here else "not in the package" for name in said.weights
        },
        "example": "yes" if example else "none",
    }


def _size_in_words(axis: Axis) -> str:
    return f"{axis.least} + any times {axis.step}" if axis.step else f"exactly {axis.least}"


def _sides_in_words(sides: tuple[int, ...]) -> str:
    return " x ".join(str(side) if side else "any" for side in sides)


__all__ = ["onnx_in_words", "package_in_words", "torch_in_words"]
