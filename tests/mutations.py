"""Break files at random: their bytes, and the fields of the formats that have some."""

import ast
import copy
import io
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 2**16, 2**31, 2**63, 10**40, 0.0, -0.5, 1e-300, 1e308),
    *(float("nan"), float("inf"), "", "x", "\x00", "../../etc/passwd", "http://x", "channel", "y"),
    *("z", "batch", "raw", "0.4.9", "0.5.0", "softmax", "clip", "a" * 2000, [], [[]], [0], ["x"]),
    *({}, {"id": "x"}, {"min": 1, "step": 0}, {"min": 0, "step": 1}, {"tensor_id": "raw"}),
    *({"source": "weights"}, "float64", "<u8", "|O", "gzip", "blosc", [[0, 1]], [2**40] * 3),
)


def bytes_broken(data: bytes, rng: np.random.Generator) -> bytes:
    """Change, cut out, repeat, insert, fill or cut off some bytes."""
    broken = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at, span = int(rng.integers(0, max(len(broken), 1))), int(rng.integers(1, 9))
        match int(rng.integers(0, 6)):
            case 0:
                broken[at : at + 1] = rng.bytes(1)
            case 1:
                del broken[at : at + span]
            case 2:
                broken[at:at] = broken[at : at + span] * int(rng.integers(1, 50))
            case 3:
                broken[at:at] = rng.bytes(span)
            case 4:
                broken[at : at + span] = b"\xff" * span
            case _:
                del broken[at:]
    return bytes(broken)


def fields_broken(content: Any, rng: np.random.Generator) -> Any:
    """Return nested data with one to three fields odd, gone, doubled or moved."""
    changed = copy.deepcopy(content)
    for _ in range(int(rng.integers(1, 4))):
        places = list(places_in(changed))
        if not places:
            break
        holder, key = places[int(rng.integers(len(places)))]
        odd = copy.deepcopy(ODD[int(rng.integers(len(ODD)))])
        match int(rng.integers(0, 5)):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case 2:
                other, name = places[int(rng.integers(len(places)))]
                holder[key] = copy.deepcopy(other[name])
            case _:
                holder[key] = odd
    return changed


def places_in(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in nested data: what holds it, and its name or number there."""
    keys = list(content) if isinstance(content, dict) else range(len(content))
    for key in keys:
        yield content, key
        if isinstance(content[key], dict | list):
            yield from places_in(content[key])


def json_broken(data: bytes, rng: np.random.Generator) -> bytes:
    """Break the fields of a JSON text."""
    return json.dumps(fields_broken(json.loads(data), rng)).encode()


def npy_broken(data: bytes, rng: np.random.Generator) -> bytes:
    """Break the fields of the header of a ``.npy`` file."""
    length = int.from_bytes(data[8:10], "little")
    header = fields_broken(ast.literal_eval(data[10 : 10 + length].decode()), rng)
    text = f"{header!r}\n".encode()
    return data[:8] + len(text).to_bytes(2, "little") + text + data[10 + length :]


def tags_broken(data: bytes, rng: np.random.Generator) -> bytes:
    """Break one to three tags of the first page of a little-endian classic TIFF file."""
    broken = bytearray(data)
    (page,) = struct.unpack_from("<I", broken, 4)
    (count,) = struct.unpack_from("<H", broken, page)
    for _ in range(int(rng.integers(1, 4))):
        at = page + 2 + 12 * int(rng.integers(count))
        odd = int(rng.choice([0, 1, 2, 3, 7, 255, 2**15, 2**16 - 1, 2**31, 2**32 - 1]))
        match int(rng.integers(0, 4)):
            case 0:
                struct.pack_into("<H", broken, at, odd & 0xFFFF)
            case 1:
                struct.pack_into("<H", broken, at + 2, int(rng.integers(0, 20)))
            case 2:
                struct.pack_into("<I", broken, at + 4, odd)
            case _:
                struct.pack_into("<I", broken, at + 8, odd)
    return bytes(broken)


def protobuf_broken(data: bytes, rng: np.random.Generator) -> bytes:
    """Break one field of a protocol buffer, at any depth; lengths around it stay right."""
    fields = list(_fields(data))
    if not fields:
        return bytes_broken(data, rng)
    at = int(rng.integers(len(fields)))
    number, value = fields[at]
    if isinstance(value, bytes):
        deeper = _is_message(value) and rng.random() < 0.85
        value = protobuf_broken(value, rng) if deeper else bytes_broken(value, rng)
    else:
        value = int(rng.choice([0, 1, 2, 7, 127, 2**16, 2**31, 2**32 - 1, 2**63 - 1]))
    match int(rng.integers(0, 8)):
        case 0:
            del fields[at]
        case 1:
            fields.insert(at, fields[at])
        case 2:
            fields[at] = int(rng.integers(1, 30)), value
        case _:
            fields[at] = number, value
    return b"".join(_field(number, value) for number, value in fields)


def folder_broken(folder: Path, rng: np.random.Generator) -> None:
    """Break a file of a zarr folder: a chunk by its bytes, metadata mostly by their fields."""
    files = sorted(entry for entry in folder.rglob("*") if entry.is_file())
    texts = [path for path in files if path.suffix == ".json" or path.name.startswith(".z")]
    chosen = texts if rng.random() < 0.6 else files
    path = chosen[int(rng.integers(len(chosen)))]
    by_field = path in texts and rng.random() < 0.8
    path.write_bytes((json_broken if by_field else bytes_broken)(path.read_bytes(), rng))


def file_broken(data: bytes, suffix: str, rng: np.random.Generator) -> bytes:
    """Break a file by its bytes, or the fields of its format."""
    by_field = {".npy": npy_broken, ".tif": tags_broken, ".onnx": protobuf_broken}.get(suffix)
    return by_field(data, rng) if by_field and rng.random() < 0.6 else bytes_broken(data, rng)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and value of each field of a protocol buffer; `ValueError` if it is none."""
    file = io.BytesIO(data)
    while file.tell() < len(data):
        key = _read_varint(file)
        number, kind = key >> 3, key & 7
        if number == 0 or kind not in (0, 2):
            raise ValueError
        if kind == 0:
            yield number, _read_varint(file)
            continue
        length = _read_varint(file)
        value = file.read(length)
        if len(value) != length:
            raise ValueError
        yield number, value


def _is_message(data: bytes) -> bool:
    try:
        return bool(list(_fields(data)))
    except ValueError:
        return False


def _read_varint(file: io.BytesIO) -> int:
    number = shift = 0
    while byte := file.read(1):
        number |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return number
    raise ValueError


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value
