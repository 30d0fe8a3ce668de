"""The projects that were saved or opened last, remembered from one session to the next."""

import contextlib
from pathlib import Path

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.settings import read_settings, write_settings
from napari_unetseg.gui.shared.user_models import beside_settings

_NAME = "unetseg-projects.json"
_KEY = "recent"
_MOST = 5


def recent_projects() -> list[Path]:
    """Return the folders that are still there, the last first."""
    known = read_settings(beside_settings(_NAME)).get(_KEY)
    paths = [Path(one) for one in known if isinstance(one, str)] if isinstance(known, list) else []
    return [path for path in paths if path.is_dir()][:_MOST]


def note_project(path: Path) -> None:
    """Put a project first in the list; a list that cannot be written is ignored."""
    whole = path.resolve()
    known = [whole, *(one for one in recent_projects() if one != whole)]
    with contextlib.suppress(InputError):
        write_settings(beside_settings(_NAME), {_KEY: [str(one) for one in known[:_MOST]]})


__all__ = ["note_project", "recent_projects"]
