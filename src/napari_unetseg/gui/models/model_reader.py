"""napari reader for models, which adds a dropped file to the session."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.model_library import SUFFIXES
from napari_unetseg.core.models_io.native.model_files import DESCRIPTIONS
from napari_unetseg.core.models_io.native.zip_archive import names_in
from napari_unetseg.gui.shared.model_opener import Opener
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.user_models import shelf

NOTHING: list[tuple[None]] = [(None,)]
"""napari's value for a file that was read without adding a layer."""


def get_model_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """Return the reader if `path` is a model (napari hook)."""
    if isinstance(path, str) and looks_like_a_model(Path(path)):
        return read_model
    return None


def looks_like_a_model(path: Path) -> bool:
    """Whether a file may be a model: a zip with a description, or weights by their suffix."""
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        return False
    if path.suffix.lower() != ".zip":
        return True
    try:
        with path.open("rb") as file:
            return any(name.endswith((*DESCRIPTIONS, "data.pkl")) for name in names_in(file))
    except OSError:
        return False


def read_model(path: Any) -> list[Any]:
    """Open a model for the tools of the viewer, without adding a layer."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        QTimer.singleShot(0, lambda: take_in(viewer, Path(path)))
    return NOTHING


def take_in(viewer: Any, path: Path) -> Opener:
    """Open a model into the session of a viewer, and notify the user."""
    from napari.utils.notifications import show_info, show_warning

    session = Session.of(viewer)
    opener = Opener()

    def opened(model: Any, place: Path) -> None:
        session.add_model(model)
        shelf().opened(place)
        show_info(f"Loaded the model {model.name}. The Predict dock runs it.")
        _OPENERS.discard(opener)

    def refused(error: InputError) -> None:
        show_warning(str(error))
        _OPENERS.discard(opener)

    opener.opened.connect(opened)
    opener.refused.connect(refused)
    _OPENERS.add(opener)
    opener.open(path)
    return opener


_OPENERS: set[Opener] = set()
"""The openers at work, which nothing else references."""

__all__ = ["get_model_reader", "looks_like_a_model", "read_model", "take_in"]
