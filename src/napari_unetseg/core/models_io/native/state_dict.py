"""Read and write weights in PyTorch's own file format, without PyTorch and without pickle.

The format is a zip: one file for the numbers of each tensor, and a pickle that maps names to
tensors with their shape and numbers. A pickle is a small program, and loading an untrusted one
can run any code. Here it is never run: its instructions are interpreted one by one, those that
such a file needs are supported, and any other raises an error.
"""

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.native.zip_archive import Archive, Budget, zip_bytes

Array = NDArray[Any]

MAX_BYTES = 2**31
"""Maximum bytes of all tensors together."""

_MAX_PROGRAM, _MAX_STEPS = 2**24, 2**19
_ALIGNMENT = 64
_FOLDER = "archive"

_STORAGES: dict[str, str] = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}
_BRAIN_FLOAT = "BFloat16Storage"
_STORAGE_OF = {np.dtype(code[1:]): kind for kind, code in _STORAGES.items() if kind != _BRAIN_FLOAT}

_ORDERED_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"


def write_state_dict(state: Mapping[str, Array]) -> bytes:
    """Write a file that ``torch.load(..., weights_only=True)`` reads as a dict of tensors.

    Parameters
    ----------
    state
        Arrays by name: floating-point, integer or boolean.

    Returns
    -------
    bytes
        The file; the same bytes for the same arrays.
    """
    arrays = [np.ascontiguousarray(array).reshape(np.shape(array)) for array in state.values()]
    program = _Writer()
    program.dictionary(list(state), arrays)
    members = {f"{_FOLDER}/data.pkl": program.finished(), f"{_FOLDER}/byteorder": b"little"}
    for k, array in enumerate(arrays):
        members[f"{_FOLDER}/data/{k}"] = array.astype(array.dtype.newbyteorder("<")).tobytes()
    members[f"{_FOLDER}/version"] = b"3\n"
    return zip_bytes(members, alignment=_ALIGNMENT)


def read_state_dict(data: bytes, budget: Budget | None = None) -> dict[str, Array]:
    """Read the arrays of a state dict saved by PyTorch 1.6 or later.

    Parameters
    ----------
    data
        The file.
    budget
        Of the package that the file came in.

    Returns
    -------
    dict
        Arrays by name, in the file's order; bfloat16 as float32.

    Raises
    ------
    InputError
        When it is not such a file, is damaged, exceeds `MAX_BYTES`, or contains anything but
        named tensors.
    """
    file = io.BytesIO(data)
    with Archive(file, "The weights", max_bytes=MAX_BYTES, budget=budget) as archive:
        pickles = [name for name in archive.names if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise InputError(
                "The weights are not a state dict of PyTorch 1.6 or later. Save them again with "
                "torch.save(model.state_dict(), ...)."
            )
        folder = pickles[0].removesuffix("data.pkl")
        order = "little"
        if f"{folder}byteorder" in archive.names:
            order = archive.read(f"{folder}byteorder", 16).decode("ascii", "replace")
        if order not in ("little", "big"):
            raise _damaged()
        content = _interpret(archive.read(pickles[0], _MAX_PROGRAM))
        return _Arrays(archive, folder, order).of(content)


@dataclass(frozen=True)
class _Global:
    """Hold the name of an importable object; it is never imported."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """Reference the numbers of one or several tensors in the file, not yet read."""

    kind: str
    key: str
    length: int


@dataclass(frozen=True)
class _Tensor:
    """Describe a view into a storage, not yet read."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Mark:
    """Mark the start of a group of stacked items."""


class _Writer:
    """Write the pickle that names the tensors, instruction by instruction (protocol 2)."""

    def __init__(self) -> None:
        self._out = io.BytesIO()
        self._out.write(b"\x80\x02")

    def dictionary(self, names: list[str], arrays: list[Array]) -> None:
        self._call(_ORDERED_DICT, lambda: self._out.write(b")"))
        self._out.write(b"(")
        for key, (name, array) in enumerate(zip(names, arrays, strict=True)):
            self._text(name)
            self._tensor(str(key), array)
        self._out.write(b"u")

    def finished(self) -> bytes:
        return self._out.getvalue() + b"."

    def _tensor(self, key: str, array: Array) -> None:
        strides = tuple(step // array.itemsize for step in array.strides)

        def arguments() -> None:
            self._out.write(b"(")
            self._storage(key, array)
            self._integer(0)
            self._integers(array.shape)
            self._integers(strides)
            self._out.write(b"\x89")
            self._call(_ORDERED_DICT, lambda: self._out.write(b")"))
            self._out.write(b"t")

        self._call(_TENSOR, arguments)

    def _storage(self, key: str, array: Array) -> None:
        self._out.write(b"(")
        self._text("storage")
        self._global(f"torch {_STORAGE_OF[array.dtype.newbyteorder('=')]}")
        self._text(key)
        self._text("cpu")
        self._integer(array.size)
        self._out.write(b"tQ")

    def _call(self, name: str, arguments: Callable[[], Any]) -> None:
        self._global(name)
        arguments()
        self._out.write(b"R")

    def _global(self, name: str) -> None:
        self._out.write(b"c" + name.replace(" ", "\n").encode("ascii") + b"\n")

    def _text(self, text: str) -> None:
        raw = text.encode("utf-8")
        self._out.write(b"X" + len(raw).to_bytes(4, "little") + raw)

    def _integers(self, numbers: tuple[int, ...]) -> None:
        self._out.write(b"(")
        for number in numbers:
            self._integer(number)
        self._out.write(b"t")

    def _integer(self, number: int) -> None:
        if number < 2**31:
            self._out.write(b"J" + number.to_bytes(4, "little"))
        else:
            self._out.write(b"\x8a\x08" + number.to_bytes(8, "little"))


def _interpret(program: bytes) -> Any:
    """Interpret a pickle as names, storages and tensors, without running it."""
    walker, n_steps = _Interpreter(program), 0
    try:
        while (code := walker.take(1)) != _STOP:
            act = _ACTIONS.get(code)
            if act is None:
                raise InputError(
                    f"The weights contain more than tensors (the pickle instruction {code!r}). "
                    "They were not loaded, since that could run code. Save a bare state dict."
                )
            act(walker)
            n_steps += 1
            if n_steps > _MAX_STEPS:
                raise InputError(
                    "The weights have more instructions than any state dict. They were not "
                    "loaded; save a bare state dict."
                )
        return walker.pop()
    except InputError:
        raise
    except (ValueError, IndexError, KeyError) as error:
        raise _damaged() from error


class _Interpreter:
    """Keep the position in a pickle, with its stack and memory."""

    def __init__(self, program: bytes) -> None:
        self._program, self._at = program, 0
        self._stack: list[Any] = []
        self._memory: dict[int, Any] = {}

    def take(self, length: int) -> bytes:
        """Return the next bytes of the program."""
        taken = self._program[self._at : self._at + length]
        if len(taken) < length:
            raise _damaged()
        self._at += length
        return taken

    def number(self, length: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(length), "little", signed=signed)

    def line(self) -> str:
        end = self._program.index(b"\n", self._at)
        return self.take(end + 1 - self._at)[:-1].decode("ascii")

    def push(self, item: Any) -> None:
        self._stack.append(item)

    def pop(self) -> Any:
        return self._stack.pop()

    def remember(self, length: int) -> None:
        self._memory[self.number(length)] = self._stack[-1]

    def recall(self, length: int) -> None:
        self.push(self._memory[self.number(length)])

    def pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while not isinstance(item := self.pop(), _Mark):
            items.append(item)
        return items[::-1]

    def make_tuple(self, length: int) -> None:
        items = tuple(self.pop() for _ in range(length))
        self.push(items[::-1])

    def set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise _damaged()
        for name, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(name, str):
                raise _not_plain()
            target[name] = value

    def load_storage(self) -> None:
        match self.pop():
            case ("storage", _Global(name), str(key), str(), int(length)):
                kind = name.removeprefix("torch ")
                if kind not in _STORAGES or length < 0:
                    raise InputError(
                        f"The weights have numbers of an unknown type: {kind[:60]!r}. Save them as "
                        "float32."
                    )
                self.push(_Storage(kind, key, length))
            case _:
                raise _damaged()

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        match function, arguments:
            case _Global("collections OrderedDict"), ():
                self.push({})
            case (
                _Global("torch._utils _rebuild_tensor_v2"),
                (_Storage() as storage, int(offset), tuple(shape), tuple(stride), *_),
            ):
                self.push(_Tensor(storage, offset, _integers(shape), _integers(stride)))
            case _Global("torch._utils _rebuild_parameter"), (_Tensor() as tensor, *_):
                self.push(tensor)
            case _Global(name), _:
                raise InputError(
                    f"The weights contain more than tensors ({name[:60]!r}). They were not loaded, "
                    "since that could run code. Save a bare state dict."
                )
            case _:
                raise _damaged()


def _integers(items: tuple[Any, ...]) -> tuple[int, ...]:
    if len(items) > 16 or not all(type(item) is int and item >= 0 for item in items):
        raise _damaged()
    return items


_STOP = b"."
_ACTIONS: dict[bytes, Callable[[_Interpreter], Any]] = {
    b"\x80": lambda walker: walker.take(1),  # protocol
    b"(": lambda walker: walker.push(_Mark()),
    b"}": lambda walker: walker.push({}),
    b")": lambda walker: walker.push(()),
    b"]": lambda walker: walker.push([]),
    b"N": lambda walker: walker.push(None),
    b"\x88": lambda walker: walker.push(True),
    b"\x89": lambda walker: walker.push(False),
    b"c": lambda walker: walker.push(_Global(f"{walker.line()} {walker.line()}")),
    b"X": lambda walker: walker.push(walker.take(walker.number(4)).decode("utf-8")),
    b"J": lambda walker: walker.push(walker.number(4, signed=True)),
    b"K": lambda walker: walker.push(walker.number(1)),
    b"M": lambda walker: walker.push(walker.number(2)),
    b"\x8a": lambda walker: walker.push(walker.number(walker.number(1), signed=True)),
    b"q": lambda walker: walker.remember(1),
    b"r": lambda walker: walker.remember(4),
    b"h": lambda walker: walker.recall(1),
    b"j": lambda walker: walker.recall(4),
    b"t": lambda walker: walker.push(tuple(walker.pop_to_mark())),
    b"\x85": lambda walker: walker.make_tuple(1),
    b"\x86": lambda walker: walker.make_tuple(2),
    b"\x87": lambda walker: walker.make_tuple(3),
    b"s": lambda walker: walker.set_items([walker.pop(), walker.pop()][::-1]),
    b"u": lambda walker: walker.set_items(walker.pop_to_mark()),
    b"Q": lambda walker: walker.load_storage(),
    b"R": lambda walker: walker.call(),
    # A module's state dict has versions as an attribute, which are not needed.
    b"b": lambda walker: walker.pop(),
}
"""The pickle instructions of a state dict."""


class _Arrays:
    """Read the numbers of tensors from the file, each storage once."""

    def __init__(self, archive: Archive, folder: str, order: str) -> None:
        self._archive, self._folder, self._order = archive, folder, order
        self._storages: dict[str, Array] = {}

    def of(self, content: Any) -> dict[str, Array]:
        tensors = isinstance(content, dict) and all(
            isinstance(t, _Tensor) for t in content.values()
        )
        if not tensors or not content:
            raise _not_plain()
        return {name: self._read(tensor) for name, tensor in content.items()}

    def _read(self, tensor: _Tensor) -> Array:
        numbers, shape, stride = self._numbers(tensor.storage), tensor.shape, tensor.stride
        size = math.prod(shape)
        # Without the second limit a single number could be broadcast to any shape.
        if len(shape) != len(stride) or not 1 <= size <= numbers.size:
            raise _damaged()
        last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        if tensor.offset < 0 or last >= numbers.size:
            raise _damaged()
        # Tensors may share their numbers, of which each gets a copy.
        self._archive.budget.spend(size * numbers.itemsize)
        steps = [step * numbers.itemsize for step in stride]
        view = np.ndarray(shape, numbers.dtype, numbers, tensor.offset * numbers.itemsize, steps)
        if tensor.storage.kind == _BRAIN_FLOAT:
            return (view.astype(np.uint32) << 16).view(np.float32)
        return view.astype(numbers.dtype.newbyteorder("="))

    def _numbers(self, storage: _Storage) -> Array:
        name = f"{self._folder}data/{storage.key}"
        dtype = np.dtype(_STORAGES[storage.kind])
        if self._order == "big":
            dtype = dtype.newbyteorder(">")
        if name not in self._storages:
            if name not in self._archive.names:
                raise _damaged()
            raw = self._archive.read(name, storage.length * dtype.itemsize)
            if len(raw) != storage.length * dtype.itemsize:
                raise _damaged()
            self._storages[name] = np.frombuffer(raw, dtype)
        numbers = self._storages[name]
        if (numbers.dtype, numbers.size) != (dtype, storage.length):
            raise _damaged()
        return numbers


def _not_plain() -> InputError:
    return InputError(
        "The weights are not a plain state dict of named tensors. Save only model.state_dict()."
    )


def _damaged() -> InputError:
    return InputError("The weights are damaged. Copy or download the file again.")


__all__ = ["MAX_BYTES", "read_state_dict", "write_state_dict"]
