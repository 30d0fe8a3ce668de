"""Open a model of any kind: one of ours, a package of others, or bare weights."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import native as packages
from napari_unetseg.core.models_io.foreign.bare_weights import bare_onnx, bare_script
from napari_unetseg.core.models_io.foreign.convert_unet import bare_model, proven, taken_over
from napari_unetseg.core.models_io.foreign.engines import (
    Engine,
    OnnxEngine,
    Start,
    has_onnx_runtime,
    layout_engine,
    script_engine,
)
from napari_unetseg.core.models_io.foreign.file_summary import (
    onnx_in_words,
    package_in_words,
    torch_in_words,
)
from napari_unetseg.core.models_io.foreign.fixed_windows import Side
from napari_unetseg.core.models_io.foreign.foreign_description import (
    SPACE,
    WEIGHTS,
    Description,
    Tensor,
    parse_description,
)
from napari_unetseg.core.models_io.foreign.foreign_model import ForeignModel, fields_of
from napari_unetseg.core.models_io.foreign.format_0_4 import is_older, upgraded
from napari_unetseg.core.models_io.foreign.model_files import (
    MAX_BYTES,
    ModelFiles,
    open_model_files,
)
from napari_unetseg.core.models_io.foreign.model_test import (
    ModelExample,
    Trial,
    compare_outputs,
    example_of,
    run_example,
)
from napari_unetseg.core.models_io.foreign.onnx_file import read_onnx
from napari_unetseg.core.models_io.foreign.output_meaning import head_of
from napari_unetseg.core.models_io.foreign.processing_steps import check_steps
from napari_unetseg.core.models_io.foreign.unet_layouts import UNetLayout, match_layout
from napari_unetseg.core.models_io.native.package import PathLike
from napari_unetseg.core.models_io.native.plain_yaml import MAX_BYTES as MAX_TEXT
from napari_unetseg.core.models_io.native.plain_yaml import read_yaml
from napari_unetseg.core.models_io.native.state_dict import read_state_dict
from napari_unetseg.core.models_io.shipped_models import listed, resolved
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.options import Device
from napari_unetseg.core.units import symbol_of

NAMES = ("rdf.yaml", "bioimageio.yaml", "model.yaml")
"""What a description is called in a package."""

MAX_NUMBERS = 2**29
"""Most numbers of the smallest block that a network may ask for."""

_FOREIGN_FORMATS = {".h5", ".hdf5", ".keras", ".pb", ".tflite", ".caffemodel", ".ckpt", ".pkl"}
_QUESTION = (
    "It holds TorchScript, which is a program: running it lets whoever made it run code in "
    "PyTorch's own interpreter. Open it only if you trust where it comes from (on the command "
    "line: --trust)."
)
"""The plain question before TorchScript runs."""


class NeedsTrust(InputError):
    """A file that is a program, and that nobody has said to trust yet."""


@dataclass(frozen=True)
class _Package:
    """A package of others, described and checked, with nothing run yet."""

    description: Description
    number: int
    example: ModelExample | None

    @property
    def result(self) -> Tensor:
        return self.description.outputs[self.number]


def open_model(
    path: PathLike, *, trust: bool = False, normalisation: NormalisationSpec | None = None
) -> TrainedModel:
    """Open a model, ours or foreign. Nothing in it is run, unless it is TorchScript and trusted.

    Parameters
    ----------
    path
        A package of ours or of bioimage.io (a zip, a folder, or the description in it), or bare
        weights: ONNX, TorchScript, or the state dict of a UNet of a usual layout. Where there is
        no such file, the name of a shipped model.
    trust
        Whether TorchScript, which is a program, may run.
    normalisation
        How images are scaled for bare weights, which do not say.

    Returns
    -------
    TrainedModel
        A `ForeignModel` unless it is one of ours, or a state dict that ours can take over; then it
        can be trained on.

    Raises
    ------
    NeedsTrust
        When it is TorchScript, and nobody said to trust it.
    InputError
        When it cannot be used; the sentence says why.
    """
    place = _place(Path(path))
    if place.suffix.lower() in _FOREIGN_FORMATS:
        raise InputError(
            f"{place.name} is in a format that is not read. Read are bioimage.io packages, ONNX, "
            "TorchScript and PyTorch state dicts; convert it to ONNX."
        )
    scaling = normalisation or NormalisationSpec()
    if not _is_zip_or_folder(place):
        with _named(place):
            return _bare_onnx(place, scaling)
    with open_model_files(place) as files:
        if any(name.endswith("data.pkl") for name in files.names):
            return _bare_torch(place, files, trust, scaling)
        content = _content(files)
        if not (_is_ours(content) and place.is_file()):
            return _foreign(place, _package(content, files), files, trust)
    return packages.load(place)


def describe_model(path: PathLike) -> dict[str, Any]:
    """Return what a model file says of itself, as plain data for people; nothing is run.

    Raises
    ------
    InputError
        As `open_model`, but for what would only be needed to run it.
    """
    place = _place(Path(path))
    if not _is_zip_or_folder(place):
        with _named(place):
            return onnx_in_words(read_onnx(_bytes(place)), place)
    with open_model_files(place) as files:
        if any(name.endswith("data.pkl") for name in files.names):
            return torch_in_words(place, script=_is_script(files))
        content = _content(files)
        if not (_is_ours(content) and place.is_file()):
            package = _package(content, files)
            has = package.example is not None
            return package_in_words(package.description, package.number, example=has)
    return packages.describe(place)


def self_test(path: PathLike, *, trust: bool = False) -> Trial:
    """Run a package's own test: its example through its network.

    Raises
    ------
    InputError
        When it cannot be run, or carries no example.
    """
    place = _place(Path(path))
    if not _is_zip_or_folder(place):
        raise InputError(f"{place.name} is bare weights, which carry no example to test it by.")
    with open_model_files(place) as files:
        if any(name.endswith("data.pkl") for name in files.names):
            raise InputError(f"{place.name} is bare weights, which carry no example to test it by.")
        content = _content(files)
        package = _package(content, files)
        if package.example is None:
            raise InputError(f"{place.name} carries no example to test it by.")
        if _is_ours(content) and place.is_file():
            model = packages.load(place)
            found = _ours_on(model, package.example)
        else:
            engine = _foreign_start(place, package, files, trust)[0]("cpu")
            found = run_example(package.example, package.description, package.number, engine)
        return compare_outputs(found, package.example.expected, package.description)


def _ours_on(model: TrainedModel, example: ModelExample) -> NDArray[np.float32]:
    from napari_unetseg.core.models_io.native.example_tensors import example_output

    return example_output(model, example.image)


def _place(path: Path) -> Path:
    """Return the folder of a description, the file itself, or that of a shipped model."""
    path = resolved(path)
    if path.name in NAMES or path.name.endswith(".rdf.yaml"):
        return path.parent
    return path


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let messages about a file begin with its name."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{path.name} is not loaded. {error}") from error


def _is_zip_or_folder(path: Path) -> bool:
    """Whether it holds files; what does not is ONNX, or nothing that is read."""
    try:
        if path.is_dir() or path.suffix.lower() == ".zip":
            return True
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise InputError(
            f"{path} cannot be opened: {error.strerror}. Check the name. {listed()}"
        ) from error


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"It is larger than any model ({MAX_BYTES // 2**20} MiB).")
    if path.suffix.lower() != ".onnx":
        raise InputError(
            "It is no model, or damaged. Read are bioimage.io packages, ONNX (.onnx), TorchScript, "
            "and state dicts of PyTorch 1.6 or later."
        )
    return path.read_bytes()


def _content(files: ModelFiles) -> dict[str, Any]:
    named = (*(name for name in NAMES if name in files.names), *_others(files))
    if not named:
        raise InputError(
            f"There is no {NAMES[0]} in it: it is no model, or damaged. Choose another, or copy it "
            "again."
        )
    return read_yaml(files.read(named[0], MAX_TEXT), f"The model's {named[0]}")


def _others(files: ModelFiles) -> list[str]:
    return [name for name in files.names if name.endswith(".rdf.yaml") and "/" not in name]


def _is_ours(content: Mapping[str, Any]) -> bool:
    config = content.get("config")
    return isinstance(config, dict) and isinstance(config.get("unetseg"), dict)


def _package(content: Mapping[str, Any], files: ModelFiles) -> _Package:
    """Return a package whose processing, axes and example make sense."""
    description = parse_description(upgraded(content) if is_older(content) else content)
    if len(description.inputs) != 1:
        names = ", ".join(tensor.name for tensor in description.inputs)
        raise InputError(f"The network takes several images ({names}); one can be given.")
    image = description.inputs[0]
    number = next((k for k, t in enumerate(description.outputs) if _fits(t, image)), None)
    if number is None:
        raise InputError(
            "None of the network's results is an image of the same axes. Models that give lists "
            "rather than images cannot be run."
        )
    for tensor in (image, description.outputs[number]):
        _check_axes(tensor)
        check_steps(tensor, tensor.steps)
    _check_sizes(image, description.outputs[number])
    return _Package(description, number, example_of(description, number, files))


def _fits(result: Tensor, image: Tensor) -> bool:
    return [axis.kind for axis in result.space] == [axis.kind for axis in image.space]


def _check_axes(tensor: Tensor) -> None:
    for axis in tensor.axes:
        if axis.kind in ("time", "index") and axis.least != 1:
            raise InputError(
                f"{tensor.name!r} has a {axis.kind} axis of {axis.least}: only networks that take "
                "one image at a time can be run."
            )
    if [axis.kind for axis in tensor.space] not in (list("yx"), list(SPACE)):
        raise InputError(f"{tensor.name!r} has the axes {tensor.kinds}, neither planes nor stacks.")


def _check_sizes(image: Tensor, result: Tensor) -> None:
    """Check that the least a network can be shown fits a laptop's memory."""
    sides = [Side.of(a, b) for a, b in zip(image.space, result.space, strict=True)]
    block = [side.multiple + 2 * side.halo for side in sides]
    if math.prod(block) * max(image.n_channels, result.n_channels) > MAX_NUMBERS:
        raise InputError(
            f"The network takes blocks of {' x '.join(map(str, block))} pixels and more, with "
            f"{image.n_channels} channels in and {result.n_channels} out: no laptop holds them."
        )


def _foreign(place: Path, package: _Package, files: ModelFiles, trust: bool) -> TrainedModel:
    start, digest, layout = _foreign_start(place, package, files, trust)
    description, example = package.description, package.example
    expected = None if example is None else example.expected
    flat = None if expected is None else expected.reshape(len(expected), -1)
    head = head_of(package.result, flat)
    model = ForeignModel(
        **fields_of(description, package.result, head, symbol_of),
        description=description,
        result=package.result,
        number=package.number,
        head=head,
        start=start,
        source=str(place),
        digest=digest,
    )
    return model if layout is None else taken_over(model, layout) or model


def _foreign_start(
    place: Path, package: _Package, files: ModelFiles, trust: bool
) -> tuple[Start, str, UNetLayout | None]:
    """Return what starts the weights that can be run, the best first, and their hash."""
    weights = package.description.weights
    refused: list[str] = []
    for name in WEIGHTS:
        if name not in weights or not weights[name].link.is_here:
            continue
        if name == "onnx" and not has_onnx_runtime() and len(weights) > 1:
            refused.append("ONNX needs ONNX Runtime: pip install 'napari-unetseg[onnx]'")
            continue
        if name == "torchscript" and not trust:
            if refused:
                refused.append("TorchScript is a program and must be trusted (--trust)")
                continue
            raise NeedsTrust(_QUESTION)
        data = weights[name].link.read(files, MAX_BYTES)
        digest = hashlib.sha256(data).hexdigest()
        if name == "onnx":
            read_onnx(data)
            return (lambda device, data=data: OnnxEngine(data)), digest, None
        if name == "torchscript":
            return (lambda device, data=data: script_engine(data, device)), digest, None
        try:
            layout = proven(
                match_layout(read_state_dict(data)),
                data,
                package.description,
                package.number,
                package.example,
            )
        except InputError as error:
            refused.append(str(error))
            continue
        return (lambda device, own=layout: layout_engine(own, device)), digest, layout
    if refused:
        raise InputError(f"{place.name} cannot be run. {' '.join(_sentence(r) for r in refused)}")
    there = ", ".join(weights) or "none"
    raise InputError(
        f"{place.name} holds no weights that can be run: it has {there} (perhaps elsewhere on the "
        f"net), and {', '.join(WEIGHTS)} in the package are read."
    )


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _bare_onnx(place: Path, scaling: NormalisationSpec) -> ForeignModel:
    data = _bytes(place)
    description = bare_onnx(read_onnx(data), place.stem, scaling)
    return _bare_foreign(place, description, lambda device: OnnxEngine(data), data)


def _bare_torch(
    place: Path, files: ModelFiles, trust: bool, scaling: NormalisationSpec
) -> TrainedModel:
    data = place.read_bytes()
    if not _is_script(files):
        layout = match_layout(read_state_dict(data))
        return bare_model(layout, place.stem, scaling)
    if not trust:
        raise NeedsTrust(_QUESTION)
    description = bare_script(script_engine(data, "cpu"), place.stem, scaling)
    return _bare_foreign(place, description, lambda device: script_engine(data, device), data)


def _bare_foreign(
    place: Path, description: Description, start: Callable[[Device], Engine], data: bytes
) -> ForeignModel:
    result = description.outputs[0]
    head = head_of(result)
    return ForeignModel(
        **fields_of(description, result, head, symbol_of),
        description=description,
        result=result,
        number=0,
        head=head,
        start=start,
        source=str(place),
        digest=hashlib.sha256(data).hexdigest(),
    )


def _is_script(files: ModelFiles) -> bool:
    return any("/code/" in name or name.endswith("constants.pkl") for name in files.names)


__all__ = ["NAMES", "NeedsTrust", "describe_model", "open_model", "self_test"]


__all__ = ["NAMES", "NeedsTrust", "describe_model", "open_model", "self_test"]
