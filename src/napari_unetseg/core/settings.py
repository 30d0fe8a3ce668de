"""User settings in small JSON files: tolerant reading, atomic writing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MAX_BYTES = 2**18


def read_settings(path: Path) -> dict[str, Any]:
    """Read a settings file; return an empty dict if missing, damaged or larger than 256 kB."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return {}
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_settings(path: Path, content: Mapping[str, Any]) -> None:
    """Write a settings file atomically: the old file stays until the new one is on disk.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.part")
    draft.write_text(json.dumps(content, indent=1), "utf-8")
    draft.replace(path)


__all__ = ["read_settings", "write_settings"]
