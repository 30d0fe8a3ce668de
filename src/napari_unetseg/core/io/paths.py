"""Paths of inputs and outputs, and atomic replacement of files."""

import errno
import glob
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

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
_ZARR_MARKERS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


def is_zarr(path: Path) -> bool:
    """Return whether `path` is a zarr folder, by its name or its content."""
    return path.suffix.lower() == ".zarr" or any((path / name).exists() for name in _ZARR_MARKERS)


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
        Each a file (any format), a folder (its images by suffix, without subfolders; if there are
        none, those that installed napari plugins read), or a glob such as ``plate/*_c1.tif``
        (``**`` descends). Hidden files are ignored, and so are all but the first of the files of
        one OME-TIFF image in a folder or glob.

    Returns
    -------
    list of Path
        Sorted, without duplicates.

    Raises
    ------
    InputError
        When a name does not exist, or a folder or glob has no image.
    """
    paths: dict[Path, Path] = {}
    for pattern in patterns:
        for path in _expand(os.fspath(pattern)):
            paths.setdefault(path.resolve(), path)
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
        input.
    """
    target = Path(out)
    if folder or (target.is_dir() and not is_zarr(target)):
        outputs = _in_folder(inputs, target, suffix)
    else:
        outputs = [_checked_file(target)]
    sources = {path.resolve() for path in (*inputs, *keep)}
    for output in outputs:
        if output.resolve() in sources:
            raise InputError(
                f"{output} is one of the files to read; writing there would destroy it. Choose "
                "another output."
            )
    return outputs


def pair_labels(inputs: Sequence[Path], labels: PathLike) -> list[Path]:
    """Find the labels of every input: one file for all, or by file name in a folder.

    Raises
    ------
    InputError
        When the file or folder does not exist, or an image has no labels, or several.
    """
    source = Path(labels)
    if not source.exists():
        raise InputError(f"There is no file or folder {source}. Check the name.")
    if not source.is_dir() or is_zarr(source):
        return [source] * len(inputs)
    by_stem: dict[str, list[Path]] = {}
    for path in expand_inputs([source]):
        by_stem.setdefault(stem_of(path), []).append(path)
    return [_one_of(by_stem.get(stem_of(path), []), path, source) for path in inputs]


# Numpy gives no error number when an array is only partly written.
_FULL = (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def writing(path: PathLike) -> Iterator[Path]:
    """Provide a temporary path next to `path`, and move it there afterwards.

    The file or folder at `path` is replaced atomically and only when the block succeeds: after an
    error, cancel or Ctrl-C the old content remains, without a partial file. Missing parent folders
    are created.

    Raises
    ------
    InputError
        When the path cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft_folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise InputError(
            f"Nothing can be written in {target.parent}: {error.strerror}. Choose another folder."
        ) from error
    draft = draft_folder / target.name
    try:
        yield draft
        put(draft, target, aside=draft_folder / "replaced")
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            reason += ". The disk is full: free some space, or choose another folder"
        raise InputError(f"{target} cannot be written: {reason}.") from error
    finally:
        shutil.rmtree(draft_folder, ignore_errors=True)


def put(draft: Path, target: Path, *, aside: Path) -> None:
    """Move `draft` to `target`; an existing folder, which cannot be replaced, is moved aside first.

    A folder is only replaced by a folder: replacing it by a file would be a mistake that costs all
    in it.
    """
    if target.is_dir() and not draft.is_dir():
        raise IsADirectoryError(errno.EISDIR, "there is a folder of that name")
    if target.is_dir():
        os.replace(target, aside)
        try:
            os.replace(draft, target)
        except OSError:
            os.replace(aside, target)
            raise
    else:
        os.replace(draft, target)


def _is_many(pattern: str) -> bool:
    path = Path(pattern)
    if path.exists():
        return path.is_dir() and not is_zarr(path)
    return glob.has_magic(pattern)


def _expand(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir() and not is_zarr(path):
        children = list(path.iterdir())
        images = [child for child in children if is_image_path(child)]
        images = images or _for_plugins(children)
        if not images:
            raise InputError(
                f"The folder {path} contains no image: no name ends in one of "
                f"{', '.join(IMAGE_SUFFIXES)}, and no installed napari plugin reads another. "
                "Install a plugin that does, or name other files one by one."
            )
        return _one_of_each_set(images)
    if path.exists():
        return [path]
    if glob.has_magic(pattern):
        matches = [Path(match) for match in glob.glob(pattern, recursive=True)]
        images = [match for match in matches if match.is_file() or is_zarr(match)]
        if not images:
            raise InputError(f"No file matches {pattern}. Check the folder and the pattern.")
        return _one_of_each_set(images)
    raise InputError(f"There is no file or folder {path}. Check the name.")


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
    files = [path for path in paths if path.is_file() and not path.name.startswith(".")]
    if not files:
        return []
    # Asking all plugins takes a second, so it is done only for folders without other images.
    from napari_unetseg.core.io.plugin_readers import pattern_fits, plugin_patterns

    patterns = plugin_patterns()
    return [path for path in files if pattern_fits(path, patterns)]


def _in_folder(inputs: Sequence[Path], folder: Path, suffix: str) -> list[Path]:
    if folder.suffix.lower() in WRITE_SUFFIXES or folder.is_file():
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


def _one_of(candidates: list[Path], image: Path, folder: Path) -> Path:
    if len(candidates) == 1:
        return candidates[0]
    many = f"{len(candidates)} files" if candidates else "no file"
    raise InputError(
        f"{image.name} needs one file of labels named {stem_of(image)!r} in {folder}, which has "
        f"{many} of that name. Keep exactly one."
    )


__all__ = [
    "IMAGE_SUFFIXES",
    "WRITE_SUFFIXES",
    "PathLike",
    "expand_inputs",
    "is_image_path",
    "is_zarr",
    "pair_labels",
    "plan_outputs",
    "put",
    "stem_of",
    "wants_folder",
    "writing",
]
