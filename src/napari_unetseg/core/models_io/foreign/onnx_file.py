"""Read the inputs, outputs and weights of an ONNX file, without a library and without running it.

ONNX is a protocol buffer: fields of a number and a value, some of which contain fields themselves.
The few fields that describe inputs and outputs, and the numbers of the weights, are parsed here,
within limits, to describe the file and to refuse a harmful one before any other code reads it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError

MAX_BYTES = 2**31
_MAX_NODES = 200_000
_MAX_DEPTH = 8
_EXTERNAL = 1
_FLOATS = {1: "<f4", 10: "<f2", 11: "<f8"}
_TYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64"}
_TYPES |= {9: "bool", 10: "float16", 11: "float64"}

Value = int | memoryview


@dataclass(frozen=True)
class Port:
    """Describe an input or output: its name, type and sides; variable sides are 0."""

    name: str
    dtype: str
    sides: tuple[int, ...]


@dataclass(frozen=True)
class OnnxSummary:
    """Hold the inputs, outputs and sizes of an ONNX file."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    n_parameters: int
    opset: int


def read_onnx(data: bytes) -> OnnxSummary:
    """Read and check an ONNX file.

    Raises
    ------
    InputError
        When it is damaged, refers to weights in other files, contains NaN, or is too large.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"The ONNX file is larger than {MAX_BYTES // 2**20} MiB, the limit.")
    try:
        return _Reader().read(memoryview(data))
    except InputError:
        raise
    except (IndexError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise InputError(
            "The ONNX weights are not an ONNX file or are damaged. Copy or download the file again."
        ) from error


class _Reader:
    def __init__(self) -> None:
        self.n_nodes = self.n_parameters = 0

    def read(self, data: memoryview) -> OnnxSummary:
        graphs, opset = [], 0
        for number, value in _iterate_fields(data):
            if number == 7:
                graphs.append(_inner(value))
            elif number == 8:
                opset = max(opset, self._opset(_inner(value)))
            elif number == 25:
                nodes = (inner for field, inner in _iterate_fields(_inner(value)) if field == 7)
                for node in nodes:
                    self._node(_inner(node), 0)
        if len(graphs) != 1:
            raise ValueError("no graph")
        inputs, outputs, initialised = [], [], set()
        for number, value in _iterate_fields(graphs[0]):
            if number == 11:
                inputs.append(_port(_inner(value)))
            elif number == 12:
                outputs.append(_port(_inner(value)))
            elif number == 5:
                initialised.add(self._tensor(_inner(value)))
            elif number == 1:
                self._node(_inner(value), 0)
            elif number == 15:
                raise InputError(
                    "The ONNX file has sparse weights, which are not supported. Export it again "
                    "without them."
                )
        real = tuple(port for port in inputs if port.name not in initialised)
        if not real or not outputs:
            raise ValueError("nothing goes in or out")
        return OnnxSummary(real, tuple(outputs), self.n_parameters, opset)

    def _opset(self, data: memoryview) -> int:
        domain, version = "", 0
        for number, value in _iterate_fields(data):
            if number == 1:
                domain = _text(value)
            elif number == 2 and isinstance(value, int):
                version = value
        if domain not in ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "ai.onnx.training"):
            raise InputError(
                f"The ONNX file needs custom operators of {domain[:60]!r}. Only standard operators "
                "can be run; export the model without them."
            )
        return version if domain in ("", "ai.onnx") else 0

    def _node(self, data: memoryview, depth: int) -> None:
        """Check the tensors and graphs inside a node's attributes."""
        self.n_nodes += 1
        if self.n_nodes > _MAX_NODES or depth > _MAX_DEPTH:
            raise InputError(
                f"The ONNX file has more than {_MAX_NODES} nodes or nested graphs, the limit."
            )
        for number, value in _iterate_fields(data):
            if number != 5:
                continue
            for inner, content in _iterate_fields(_inner(value)):
                if inner in (5, 10):
                    self._tensor(_inner(content))
                elif inner in (6, 11):
                    for field, nested in _iterate_fields(_inner(content)):
                        if field == 1:
                            self._node(_inner(nested), depth + 1)
                        elif field == 5:
                            self._tensor(_inner(nested))

    def _tensor(self, data: memoryview) -> str:
        """Check the numbers of a tensor; return its name."""
        dims: list[int] = []
        kind, name, numbers = 0, "", None
        for number, value in _iterate_fields(data):
            if number == 1:
                dims += _integers(value)
            elif number == 2:
                kind = int(value)
            elif number == 8:
                name = _text(value)
            elif number == 4:
                numbers = (
                    np.frombuffer(_inner(value), "<f4") if isinstance(value, memoryview) else None
                )
            elif number == 9:
                numbers = np.frombuffer(_inner(value), _FLOATS[kind]) if kind in _FLOATS else None
            elif number == 13 or (number == 14 and value == _EXTERNAL):
                raise InputError(
                    "The ONNX file refers to weights in other files, which are not read. Save it "
                    "as one file."
                )
        size = 1
        for side in dims:
            if not 0 <= side < 2**31:
                raise ValueError(side)
            size *= side
        if size > MAX_BYTES:
            raise InputError(
                f"The ONNX weights {name[:60]!r} exceed {MAX_BYTES // 2**20} Mi numbers."
            )
        self.n_parameters += size
        if numbers is not None:
            _check_finite(name, numbers)
        return name


def _check_finite(name: str, numbers: NDArray[Any]) -> None:
    # Attention masks and clip limits are infinite in valid files; NaN never occurs.
    if np.isnan(numbers).any():
        raise InputError(
            f"The ONNX weights {name[:60]!r} contain NaN: the model predicts nothing. Load another."
        )


def _port(data: memoryview) -> Port:
    name, kind, sides = "", 0, []
    for number, value in _iterate_fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            for inner, content in _iterate_fields(_inner(value)):
                if inner != 1:
                    continue
                for field, nested in _iterate_fields(_inner(content)):
                    if field == 1:
                        kind = int(nested)
                    elif field == 2:
                        shape = _inner(nested)
                        sides = [_side(_inner(d)) for n, d in _iterate_fields(shape) if n == 1]
    return Port(name, _TYPES.get(kind, str(kind)), tuple(sides))


def _side(data: memoryview) -> int:
    value = next((value for number, value in _iterate_fields(data) if number == 1), 0)
    return value if isinstance(value, int) and 0 < value < 2**31 else 0


def _iterate_fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield number and value of every field."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        else:
            length = {1: 8, 5: 4}[wire]
        if at + length > len(data):
            raise ValueError("cut short")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number too long")


def _integers(value: Value) -> list[int]:
    """Return a repeated integer field, packed or single."""
    if isinstance(value, int):
        return [value]
    integers, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        integers.append(number)
    return integers


def _inner(value: Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where there should be fields")
    return value


def _text(value: Value) -> str:
    return bytes(_inner(value)).decode("utf-8", "replace")[:1000]


__all__ = ["OnnxSummary", "Port", "read_onnx"]
