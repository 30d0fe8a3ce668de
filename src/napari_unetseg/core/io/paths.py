"""Paths of inputs and outputs."""

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_unetseg.core.atomic_files import check_output, named_path
from napari_unetseg.core.errors import InputError

PathLike = str | os.PathLike[str]

IMAGE_SUFFIXES = (
    ".tif",
    ".tiff",
    ".lsm",
    ".svs",
    ".ndpi",
    ".scn",
    ".qptiff",
    ".zarr",
    ".npy",
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".gif",
)
"""File suffixes searched for in folders. Other files are opened when named, by a napari reader."""

WRITE_SUFFIXES = (".tif", ".tiff", ".zarr", ".png")

_COMPOUND = (".ome.tif", ".ome.tiff", ".ome.zarr")
_LONGEST_PREFIX = 40  # letters, of up to four bytes each; a name has up to 255 bytes
_ZARR_MARKERS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


def existing_path(name: PathLike) -> Path:
    """Return the path of an existing file or folder.

    Raises
    ------
    InputError
        As `named_path`; when there is none; and when it is a device or a pipe, which may never end.
    """
    path = named_path(name)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"There is no file or folder {path}. Check the name.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}.") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{path} is a device or a pipe. Give the name of a file.")
    return path


def is_zarr(path: Path) -> bool:
    """Return whether `path` is a zarr folder, by its name or its content."""
    return path.suffix.lower() == ".zarr" or any(
        os.path.exists(path / name) for name in _ZARR_MARKERS
    )


def is_image_path(path: PathLike) -> bool:
    """Return whether the suffix is that of an image this program reads itself."""
    name = Path(path).name
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def stem_of(path: PathLike) -> str:
    """Return the file name without its suffix, including compound ones such as ``.ome.tif``."""
    name = Path(path).name
    for suffix in _COMPOUND:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return Path(name).stem


def expand_inputs(patterns: Iterable[PathLike]) -> list[Path]:
    """List the images given by files, folders and globs.

    Parameters
    ----------
    patterns
        Each a file (any format), a folder (its images by suffix; if there are none, those in its
        subfolders; then those that installed napari plugins read), or a glob such as
        ``plate/*_c1.tif`` (``**`` descends). Hidden files are ignored, and so are all but the
        first of the files of one OME-TIFF image in a folder or glob.

    Returns
    -------
    list of Path
        Sorted, without duplicates.

    Raises
    ------
    InputError
        When a name does not exist, or a folder or glob has no image.
    """
    paths: dict[str, Path] = {}
    for pattern in patterns:
        for path in _expand(os.fspath(pattern)):
            paths.setdefault(os.path.realpath(path), path)
    if not paths:
        raise InputError("No image was given. Name a file, a folder or a glob.")
    return sorted(paths.values())


def wants_folder(patterns: Sequence[PathLike]) -> bool:
    """Return whether results go into a folder: for several inputs, a folder or a glob."""
    return len(patterns) > 1 or any(_is_many(os.fspath(pattern)) for pattern in patterns)


def plan_outputs(
    inputs: Sequence[Path],
    out: PathLike,
    *,
    folder: bool,
    suffix: str = ".tif",
    keep: Sequence[Path] = (),
) -> list[Path]:
    """Choose the output path of every input.

    Parameters
    ----------
    inputs
        The paths from `expand_inputs`.
    out
        The file for one image, or the folder for several. An existing folder also works for one
        image.
    folder
        Whether `out` is a folder; see `wants_folder`.
    suffix
        Suffix of the files in the folder, each named after its image.
    keep
        Further files that must not be overwritten, such as masks.

    Returns
    -------
    list of Path
        One path for each input. Nothing is created.

    Raises
    ------
    InputError
        When the name is invalid, two images would share an output, or an output would overwrite an
        input or cannot be written.
    """
    target = named_path(out)
    if folder or (os.path.isdir(target) and not is_zarr(target)):
        outputs = _in_folder(inputs, target, suffix)
    else:
        outputs = [_checked_file(target)]
    sources = {os.path.realpath(path) for path in (*inputs, *keep)}
    for output in outputs:
        if os.path.realpath(named_path(output)) in sources:
            raise InputError(
                f"{output} is one of the files to read; writing there would destroy it. Choose "
                "another output."
            )
    for output in {path.parent: path for path in outputs}.values():
        check_output(output)
    return outputs


def _is_many(pattern: str) -> bool:
    path = Path(pattern)
    if os.path.exists(path):
        return os.path.isdir(path) and not is_zarr(path)
    return glob.has_magic(pattern)


def _expand(pattern: str) -> list[Path]:
    path = named_path(pattern)
    if os.path.isdir(path) and not is_zarr(path):
        try:
            children = list(path.iterdir())
        except OSError as error:
            raise InputError(f"The folder {path} cannot be opened: {error.strerror}.") from error
        images = [child for child in children if is_image_path(child)]
        images = images or _nested(path) or _for_plugins(children)
        if not images:
            raise InputError(
                f"The folder {path} contains no image: no name ends in one of "
                f"{', '.join(IMAGE_SUFFIXES)}, and no installed napari plugin reads another. "
                "Install a plugin that does, or name other files one by one."
            )
        return _one_of_each_set(images)
    if glob.has_magic(pattern) and not os.path.lexists(path):
        matches = [Path(match) for match in glob.glob(pattern, recursive=True)]
        images = [match for match in matches if os.path.isfile(match) or is_zarr(match)]
        if not images:
            raise InputError(f"No file matches {pattern}. Check the folder and the pattern.")
        return _one_of_each_set(images)
    return [existing_path(path)]


def _nested(folder: Path) -> list[Path]:
    """Return the images in the subfolders of a folder, without looking into zarr folders."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        inside = [Path(place, name) for name in (*folders, *files)]
        found += [path for path in inside if place != str(folder) and is_image_path(path)]
        # Links are not followed, so none leads round in a circle.
        folders[:] = [
            name for name in folders if not name.startswith(".") and not is_zarr(Path(place, name))
        ]
    return found


def _one_of_each_set(paths: Sequence[Path]) -> list[Path]:
    """Leave out the further files of an OME-TIFF image of several, each of which opens it whole."""
    candidates = [path for path in paths if path.name.lower().endswith(_COMPOUND[:2])]
    if len(candidates) < 2:
        return list(paths)
    from napari_unetseg.core.io.tiff_files import ome_set

    left_out: set[Path] = set()
    for path in sorted(candidates):
        try:
            names = () if path in left_out else ome_set(path)
        except InputError:
            # Reading it will say why.
            continue
        left_out |= {path.parent / name for name in names} - {path}
    return [path for path in paths if path not in left_out]


def _for_plugins(paths: Sequence[Path]) -> list[Path]:
    """Return the files that installed napari plugins claim to read."""
    files = [path for path in paths if os.path.isfile(path) and not path.name.startswith(".")]
    if not files:
        return []
    # Asking all plugins takes a second, so it is done only for folders without other images.
    from napari_unetseg.core.io.plugin_readers import pattern_fits, plugin_patterns

    patterns = plugin_patterns()
    return [path for path in files if pattern_fits(path, patterns)]


def _in_folder(inputs: Sequence[Path], folder: Path, suffix: str) -> list[Path]:
    if folder.suffix.lower() in WRITE_SUFFIXES or os.path.isfile(folder):
        raise InputError(
            f"Several images need an output folder, but {folder} is a file name. Give the name of "
            "a folder."
        )
    twice = [stem for stem, n in Counter(map(stem_of, inputs)).items() if n > 1]
    if twice:
        same = [str(path) for path in inputs if stem_of(path) == twice[0]]
        raise InputError(
            f"{' and '.join(same)} would both become {twice[0]}{suffix}. Rename one, or give them "
            "separately."
        )
    return [folder / f"{stem_of(path)}{suffix}" for path in inputs]


def _checked_file(target: Path) -> Path:
    if target.suffix.lower() not in WRITE_SUFFIXES:
        raise InputError(
            f"The output {target} must end in one of {', '.join(WRITE_SUFFIXES)}, "
            "or be a folder that exists."
        )
    return target


__all__ = [
    "IMAGE_SUFFIXES",
    "WRITE_SUFFIXES",
    "PathLike",
    "existing_path",
    "expand_inputs",
    "is_image_path",
    "is_zarr",
    "named_path",
    "plan_outputs",
    "stem_of",
    "wants_folder",
]
