"""Read and write arrays in numpy's file format, without trusting the file's header."""

import io
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError

_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    r"\{'descr': '(?P<type>[<>|][biuf][0-9])', 'fortran_order': (?P<order>True|False), "
    r"'shape': \((?P<shape>[0-9, ]{0,200})\), \} *\n"
)


def npy_bytes(array: NDArray[Any]) -> bytes:
    """Return an array as the bytes of an ``.npy`` file."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return out.getvalue()


def read_npy(data: bytes, what: str) -> NDArray[Any]:
    """Read the array of an ``.npy`` file of plain numbers.

    Parameters
    ----------
    what
        Name of the file for messages, at the start of a sentence.

    Raises
    ------
    InputError
        When it is not such a file, or its size does not match its header.
    """
    start = 12 if data[6:7] == b"\x02" else 10
    length = int.from_bytes(data[8:start], "little")
    header = _HEADER.fullmatch(data[start : start + length].decode("latin-1"))
    if not data.startswith(_MAGIC) or header is None:
        raise InputError(f"{what} is not an array of numbers in numpy's format. Save it again.")
    shape = tuple(map(int, re.findall("[0-9]+", header["shape"])))
    numbers = data[start + length :]
    try:
        dtype = np.dtype(header["type"])
    except TypeError as error:
        raise InputError(f"{what} holds numbers of an unknown type. Save it again.") from error
    if math.prod(shape) * dtype.itemsize != len(numbers) or len(shape) > 8:
        raise InputError(f"{what} is damaged: its size does not match its header. Save it again.")
    flat = np.frombuffer(numbers, dtype).astype(dtype.newbyteorder("="))
    if header["order"] == "True":
        return flat.reshape(shape[::-1]).T
    return flat.reshape(shape)


__all__ = ["npy_bytes", "read_npy"]
