"""The models that come with the package: named, found and opened, where a model's file would do.

Each is a package as any that is saved here, in the folder ``shipped``, with what it learnt from,
how good it is and under which licence it may be used written in it.
"""

import os
from functools import lru_cache
from pathlib import Path

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.trained_model import TrainedModel

PathLike = str | os.PathLike[str]

_SUFFIX = ".zip"
FOLDER = Path(__file__).parents[2] / "shipped"

KIND, NDIM = "unet", 2
"""The rung of every shipped model, and that they see planes: known without opening any."""

_DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "model.yaml")
_FIRST = ("nuclei", "phase_cells", "neurons", "general")


def names() -> tuple[str, ...]:
    """Return the names of the shipped models, what most people come for first."""
    there = {path.stem for path in FOLDER.glob(f"*{_SUFFIX}")}
    known = [name for name in _FIRST if name in there]
    return (*known, *sorted(there - set(known)))


def listed() -> str:
    """Say which shipped models there are."""
    return f"Shipped models are: {', '.join(names()) or 'none'}."


def path_of(name: str) -> Path:
    """Return the file of a shipped model.

    Raises
    ------
    InputError
        When there is none of that name.
    """
    if name not in names():
        raise InputError(f"There is no shipped model {name[:60]!r}. {listed()}")
    return FOLDER / f"{name}{_SUFFIX}"


def shipped_name(path: PathLike) -> str:
    """Return the name of the shipped model in a file; nothing when the file is another."""
    place = Path(path)
    ours = place.suffix == _SUFFIX and place.resolve().parent == FOLDER.resolve()
    return place.stem if ours and place.stem in names() else ""


def name_of_model(model: TrainedModel) -> str:
    """Return the name of the shipped model that a model is; nothing when it is another."""
    ours = model.name in names() and open_shipped(model.name).fingerprint == model.fingerprint
    return model.name if ours else ""


def resolved(path: PathLike) -> Path:
    """Return the file that is meant: the model that is there, or else the shipped one so named.

    A folder of images is no model, whatever its name.
    """
    place = Path(path)
    return path_of(place.name) if _is_name(place) and not _is_there(place) else place


def hides_shipped(path: PathLike) -> bool:
    """Whether a model in the working folder has the name of a shipped one, and is taken."""
    place = Path(path)
    return _is_name(place) and _is_there(place)


def _is_name(place: Path) -> bool:
    return place.parent == Path() and place.name in names()


def _is_there(place: Path) -> bool:
    if not place.is_dir():
        return place.exists()
    return any(path.name.endswith(_DESCRIPTIONS) for path in place.iterdir())


@lru_cache(maxsize=8)
def open_shipped(name: str) -> TrainedModel:
    """Return a shipped model, the same object every time. Needs no torch yet.

    Raises
    ------
    InputError
        When there is none of that name.
    """
    # Names are asked for when a dock opens; what reads files is loaded with the first model.
    from napari_unetseg.core.models_io.native import load

    return load(path_of(name), check=False)


__all__ = [
    "FOLDER",
    "KIND",
    "NDIM",
    "hides_shipped",
    "listed",
    "name_of_model",
    "names",
    "open_shipped",
    "path_of",
    "resolved",
    "shipped_name",
]
