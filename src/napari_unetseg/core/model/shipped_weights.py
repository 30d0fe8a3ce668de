"""Weights that come with the package: read without pickle, and checked by their hash."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError

FOLDER = Path(__file__).parents[2] / "shipped"


def read_weights(
    path: Path, sha256: str, *, of: str, instead: str
) -> Mapping[str, NDArray[np.float32]]:
    """Read the weights of a network by name, float32.

    Parameters
    ----------
    path
        Archive of arrays in numpy's format.
    sha256
        Its hash.
    of
        The network, as a message names it.
    instead
        Choice that does without it, for the message; a verb first.

    Raises
    ------
    InputError
        When the file is missing or damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The weights of {of}, {path.name}, cannot be read ({error}). "
            f"Install napari-unetseg again, or {instead}."
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(
            f"The weights of {of}, {path.name}, are damaged (their SHA-256 differs). "
            f"Install napari-unetseg again, or {instead}."
        )
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return MappingProxyType({name: arrays[name].astype(np.float32) for name in arrays.files})


__all__ = ["FOLDER", "read_weights"]
