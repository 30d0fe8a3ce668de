"""Open a model of any kind: our package, a foreign package, or bare weights."""

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError, decoding
from napari_unetseg.core.io.paths import existing_path
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import native as packages
from napari_unetseg.core.models_io.foreign.bare_weights import bare_onnx, bare_script
from napari_unetseg.core.models_io.foreign.convert_unet import (
    convert_bare_weights,
    convert_model,
    find_proven_layout,
)
from napari_unetseg.core.models_io.foreign.engines import (
    Engine,
    OnnxEngine,
    Start,
    has_onnx_runtime,
    layout_engine,
    script_engine,
)
from napari_unetseg.core.models_io.foreign.file_summary import (
    summarise_onnx,
    summarise_package,
    summarise_torch,
)
from napari_unetseg.core.models_io.foreign.fixed_windows import Side
from napari_unetseg.core.models_io.foreign.foreign_description import (
    SPACE,
    WEIGHTS,
    Description,
    Tensor,
    parse_description,
)
from napari_unetseg.core.models_io.foreign.foreign_model import ForeignModel, model_fields_from
from napari_unetseg.core.models_io.foreign.format_0_4 import is_older, upgrade_description
from napari_unetseg.core.models_io.foreign.model_test import (
    ModelExample,
    ModelTestResult,
    compare_outputs,
    read_example,
    run_example,
)
from napari_unetseg.core.models_io.foreign.onnx_file import read_onnx
from napari_unetseg.core.models_io.foreign.output_meaning import interpret_output
from napari_unetseg.core.models_io.foreign.processing_steps import check_steps
from napari_unetseg.core.models_io.foreign.unet_layouts import UNetLayout, match_layout
from napari_unetseg.core.models_io.native.model_files import (
    DESCRIPTIONS,
    MAX_BYTES,
    ModelFiles,
    open_model_files,
    read_description,
)
from napari_unetseg.core.models_io.native.package import PathLike
from napari_unetseg.core.models_io.native.state_dict import read_state_dict
from napari_unetseg.core.models_io.shipped_models import listed, resolved
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.options import Device
from napari_unetseg.core.units import symbol_of

MAX_NUMBERS = 2**29
"""Maximum numbers in the smallest block that a network may need."""

_FOREIGN_FORMATS = {".h5", ".hdf5", ".keras", ".pb", ".tflite", ".caffemodel", ".ckpt", ".pkl"}
_QUESTION = (
    "It contains TorchScript, which is a program: opening it lets its author run code in "
    "PyTorch's interpreter. Open it only if you trust its source (on the command line: "
    "--trust)."
)
"""The warning before TorchScript runs."""


class NeedsTrust(InputError):
    """Raised for a file that can execute code and is not trusted yet."""


@dataclass(frozen=True)
class _Package:
    """Hold a foreign package that is described and checked, but not run yet."""

    description: Description
    number: int
    example: ModelExample | None

    @property
    def result(self) -> Tensor:
        return self.description.outputs[self.number]


def open_model(
    path: PathLike, *, trust: bool = False, normalisation: NormalisationSpec | None = None
) -> TrainedModel:
    """Open a model, ours or foreign, without executing code, except trusted TorchScript.

    Parameters
    ----------
    path
        Our package or one of bioimage.io (a zip, a folder, or the description in it), or bare
        weights: ONNX, TorchScript, or the state dict of a UNet of a usual layout. If there is no
        such file, the name of a shipped model.
    trust
        Whether TorchScript, which can execute code, may be run.
    normalisation
        Intensity scaling for bare weights, which do not define it.

    Returns
    -------
    TrainedModel
        A `ForeignModel`, unless it is our model or a state dict that can be converted to ours;
        those can be fine-tuned.

    Raises
    ------
    NeedsTrust
        When it is TorchScript and `trust` is False.
    InputError
        When it cannot be used; the message gives the reason.
    """
    source = _model_path(Path(path))
    if source.suffix.lower() in _FOREIGN_FORMATS:
        raise InputError(
            f"The format of {source.name} is not supported. Supported are bioimage.io packages, "
            "ONNX, TorchScript and PyTorch state dicts; convert it to ONNX."
        )
    scaling = normalisation or NormalisationSpec()
    if not _is_zip_or_folder(source):
        with _prefix_errors(source):
            return _bare_onnx(source, scaling)
    with open_model_files(source) as files:
        if any(name.endswith("data.pkl") for name in files.names):
            return _bare_torch(source, files, trust, scaling)
        content = read_description(files)
        if not _is_ours(content):
            return _foreign(source, _package(content, files), files, trust)
    return packages.load(source, content=content)


def describe_model(path: PathLike) -> dict[str, Any]:
    """Describe a model file, as plain data to display, without executing code.

    Raises
    ------
    InputError
        As `open_model`, except errors that concern only running it.
    """
    source = _model_path(Path(path))
    if not _is_zip_or_folder(source):
        with _prefix_errors(source):
            return summarise_onnx(read_onnx(_bytes(source)), source)
    with open_model_files(source) as files:
        if any(name.endswith("data.pkl") for name in files.names):
            return summarise_torch(source, script=_is_script(files))
        content = read_description(files)
        if not _is_ours(content):
            package = _package(content, files)
            has = package.example is not None
            return summarise_package(package.description, package.number, example=has)
    return packages.describe(source, content)


def self_test(path: PathLike, *, trust: bool = False) -> ModelTestResult:
    """Run a package's own test: predict its example with its network.

    Raises
    ------
    InputError
        When it cannot be run, or has no example.
    """
    source = _model_path(Path(path))
    if not _is_zip_or_folder(source):
        raise InputError(f"{source.name} is bare weights, which carry no example to test it by.")
    with open_model_files(source) as files:
        if any(name.endswith("data.pkl") for name in files.names):
            raise InputError(
                f"{source.name} is bare weights, which carry no example to test it by."
            )
        content = read_description(files)
        package = _package(content, files)
        if package.example is None:
            raise InputError(f"{source.name} carries no example to test it by.")
        if _is_ours(content):
            model = packages.load(source, content=content)
            output = _predict_example(model, package.example)
        else:
            engine = _foreign_start(source, package, files, trust)[0]("cpu")
            output = run_example(package.example, package.description, package.number, engine)
        return compare_outputs(output, package.example.expected, package.description)


def _predict_example(model: TrainedModel, example: ModelExample) -> NDArray[np.float32]:
    from napari_unetseg.core.models_io.native.example_tensors import example_output

    return example_output(model, example.image)


def _model_path(path: Path) -> Path:
    """Return the folder of a description, the file itself, or the file of a shipped model."""
    path = resolved(path)
    if path.name in DESCRIPTIONS or path.name.endswith(".rdf.yaml"):
        return path.parent
    return path


@contextmanager
def _prefix_errors(path: Path) -> Iterator[None]:
    """Name the file in any error that reading it raises."""
    try:
        with decoding("It"):
            yield
    except InputError as error:
        raise type(error)(f"{path.name} is not loaded. {error}") from error


def _is_zip_or_folder(path: Path) -> bool:
    """Return whether a path is a zip or a folder; other files can only be ONNX."""
    if not os.path.isdir(path) and os.path.exists(path):
        existing_path(path)
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
        raise InputError(f"It is larger than {MAX_BYTES // 2**20} MiB, the limit for a model.")
    if path.suffix.lower() != ".onnx":
        raise InputError(
            "It is not a model, or damaged. Supported are bioimage.io packages, ONNX (.onnx), "
            "TorchScript, and state dicts of PyTorch 1.6 or later."
        )
    return path.read_bytes()


def _is_ours(content: Mapping[str, Any]) -> bool:
    config = content.get("config")
    return isinstance(config, dict) and isinstance(config.get("unetseg"), dict)


def _package(content: Mapping[str, Any], files: ModelFiles) -> _Package:
    """Parse a package and check its processing, axes and example."""
    description = parse_description(upgrade_description(content) if is_older(content) else content)
    if len(description.inputs) != 1:
        names = ", ".join(tensor.name for tensor in description.inputs)
        raise InputError(f"The network takes several images ({names}); one can be given.")
    image = description.inputs[0]
    number = next((k for k, t in enumerate(description.outputs) if _fits(t, image)), None)
    if number is None:
        raise InputError(
            "None of the network's results is an image with the axes of the input. Models that "
            "return lists rather than images cannot be run."
        )
    for tensor in (image, description.outputs[number]):
        _check_axes(tensor)
        check_steps(tensor, tensor.steps)
    _check_sizes(image, description.outputs[number])
    return _Package(description, number, read_example(description, number, files))


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
    """Check that the smallest input block fits in a laptop's memory."""
    sides = [Side.of(a, b) for a, b in zip(image.space, result.space, strict=True)]
    block = [side.multiple + 2 * side.halo for side in sides]
    if math.prod(block) * max(image.n_channels, result.n_channels) > MAX_NUMBERS:
        raise InputError(
            f"The network needs blocks of at least {' x '.join(map(str, block))} pixels, with "
            f"{image.n_channels} input and {result.n_channels} output channels: too large for a "
            "laptop's memory. Choose a smaller model."
        )


def _foreign(source: Path, package: _Package, files: ModelFiles, trust: bool) -> TrainedModel:
    start, digest, layout = _foreign_start(source, package, files, trust)
    description, example = package.description, package.example
    expected = None if example is None else example.expected
    flat = None if expected is None else expected.reshape(len(expected), -1)
    head = interpret_output(package.result, flat)
    model = ForeignModel(
        **model_fields_from(description, package.result, head, symbol_of),
        description=description,
        result=package.result,
        number=package.number,
        head=head,
        start=start,
        source=str(source),
        digest=digest,
    )
    return model if layout is None else convert_model(model, layout) or model


def _foreign_start(
    source: Path, package: _Package, files: ModelFiles, trust: bool
) -> tuple[Start, str, UNetLayout | None]:
    """Return the starter of the best weights that can be run, their hash and their layout."""
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
                refused.append("TorchScript can execute code and must be trusted (--trust)")
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
            layout = find_proven_layout(
                match_layout(read_state_dict(data, files.budget)),
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
        raise InputError(f"{source.name} cannot be run. {' '.join(_sentence(r) for r in refused)}")
    available = ", ".join(weights) or "none"
    raise InputError(
        f"{source.name} has no weights that can be run: it lists {available} (perhaps on the "
        f"internet). Supported are {', '.join(WEIGHTS)} inside the package."
    )


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _bare_onnx(source: Path, scaling: NormalisationSpec) -> ForeignModel:
    data = _bytes(source)
    description = bare_onnx(read_onnx(data), source.stem, scaling)
    return _bare_foreign(source, description, lambda device: OnnxEngine(data), data)


def _bare_torch(
    source: Path, files: ModelFiles, trust: bool, scaling: NormalisationSpec
) -> TrainedModel:
    data = source.read_bytes()
    if not _is_script(files):
        layout = match_layout(read_state_dict(data))
        return convert_bare_weights(layout, source.stem, scaling)
    if not trust:
        raise NeedsTrust(_QUESTION)
    description = bare_script(script_engine(data, "cpu"), source.stem, scaling)
    return _bare_foreign(source, description, lambda device: script_engine(data, device), data)


def _bare_foreign(
    source: Path, description: Description, start: Callable[[Device], Engine], data: bytes
) -> ForeignModel:
    result = description.outputs[0]
    head = interpret_output(result)
    return ForeignModel(
        **model_fields_from(description, result, head, symbol_of),
        description=description,
        result=result,
        number=0,
        head=head,
        start=start,
        source=str(source),
        digest=hashlib.sha256(data).hexdigest(),
    )


def _is_script(files: ModelFiles) -> bool:
    return any("/code/" in name or name.endswith("constants.pkl") for name in files.names)


__all__ = ["NeedsTrust", "describe_model", "open_model", "self_test"]


__all__ = ["NeedsTrust", "describe_model", "open_model", "self_test"]
