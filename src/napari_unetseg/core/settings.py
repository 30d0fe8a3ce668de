"""User settings in small JSON files: tolerant reading, atomic writing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_unetseg.core.atomic_files import writing
from napari_unetseg.core.errors import InputError

MAX_BYTES = 2**18
"""Largest settings file, for reading and writing."""


def read_settings(path: Path) -> dict[str, Any]:
    """Read a settings file; return an empty dict if missing, damaged or larger than 256 kB."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return {}
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_settings(path: Path, content: Mapping[str, Any]) -> None:
    """Write a settings file atomically: the old file stays until the new one is on disk.

    Raises
    ------
    InputError
        When the file cannot be written, or would be larger than what is read.
    """
    text = json.dumps(content, indent=1)
    if len(text) > MAX_BYTES:
        raise InputError(
            f"{path} was not written: it would have {len(text):,} bytes, and at most "
            f"{MAX_BYTES:,} are read."
        )
    with writing(path) as draft:
        draft.write_text(text, "utf-8")


__all__ = ["read_settings", "write_settings"]
