"""Pairing of files by name: images with labels, or predictions with ground truth."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io.paths import (
    PathLike,
    existing_path,
    expand_inputs,
    is_zarr,
    stem_of,
    wants_folder,
)

_LABELS = "cp_masks|masks?|labels?|seg|segmentations?|gt|ground_truth|truth"
_IMAGES = "0000|images?|imgs?|raw"
_ENDING = re.compile(rf"(?:^|[/ _.-])(?:{_LABELS}|{_IMAGES})$", re.IGNORECASE)
_LABEL_ENDING = re.compile(rf"(?:^|[ _.-])(?:{_LABELS})$", re.IGNORECASE)
_KIND_FOLDER = re.compile(rf"(?:{_LABELS}|{_IMAGES})(?:tr|ts)?", re.IGNORECASE)
_CHANNEL = re.compile(r"_\d{4}$")

ENDINGS = "_mask, _masks, _label, _labels, _seg, _gt, _cp_masks or _0000"
"""Endings by which the names of a pair may differ, for sentences."""


@dataclass(frozen=True)
class Pair:
    """Hold two files of one image, and the name they share, after that of a subfolder if any."""

    stem: str
    first: Path
    second: Path


@dataclass(frozen=True)
class Pairing:
    """Hold the pairs of two sets of files.

    Parameters
    ----------
    pairs
        Sorted by name.
    rule
        A sentence about the names that were taken for equal; empty when they were equal.
    alone
        Files of either set without a partner.
    """

    pairs: tuple[Pair, ...]
    rule: str
    alone: tuple[tuple[Path, ...], tuple[Path, ...]]


def pair_paths(first: PathLike, second: PathLike, *, names: tuple[str, str]) -> Pairing:
    """Pair two sets of files by name.

    Equal names are paired first, then those that differ by an ending of `ENDINGS`. Where a name
    occurs in several subfolders, their names count too, without those such as images and masks.

    Parameters
    ----------
    first, second
        A file, a folder or a glob each. Both may be one folder of images and labels. Two single
        files are paired whatever their names.
    names
        Plural names of the two kinds of files, for messages.

    Raises
    ------
    InputError
        When no files are found, none can be paired, a file may belong to several others, or a file
        would be paired with itself.
    """
    firsts, seconds = expand_inputs([first]), expand_inputs([second])
    if not wants_folder([first]) and not wants_folder([second]):
        only = Pair(stem_of(firsts[0]), firsts[0], seconds[0])
        return Pairing((_apart(only, names),), "", ((), ()))
    firsts, seconds = _sorted_out(firsts, seconds)
    return _paired(firsts, seconds, (_root_of(first), _root_of(second)), names)


def _paired(
    firsts: Sequence[Path],
    seconds: Sequence[Path],
    roots: tuple[Path, Path],
    names: tuple[str, str],
) -> Pairing:
    folders = not (_all_differ(firsts) and _all_differ(seconds))
    by_name = _by_name(firsts, roots[0] if folders else None)
    partners = _by_name(seconds, roots[1] if folders else None)
    pairs = _matched(by_name, partners)
    if not pairs:
        raise InputError(
            f"None of the {len(firsts)} {names[0]} in {roots[0]} has a partner among the "
            f"{len(seconds)} {names[1]} in {roots[1]}: {firsts[0].name} needs one named "
            f"{stem_of(firsts[0])!r}, with any suffix, or with an ending such as {ENDINGS}. Rename "
            "the files alike."
        )
    _check_channels(pairs, by_name)
    used = {path for pair in pairs for path in (pair.first, pair.second)}
    alone = (_others(by_name, used), _others(partners, used))
    rule = _rule(pairs, folders=folders)
    return Pairing(tuple(_apart(pair, names) for pair in pairs), rule, alone)


def _others(named: Mapping[str, Path], used: set[Path]) -> tuple[Path, ...]:
    return tuple(path for _, path in sorted(named.items()) if path not in used)


def pair_labels(inputs: Sequence[Path], labels: PathLike) -> list[Path]:
    """Find the labels of every input: one file for all, or by file name in a folder.

    Raises
    ------
    InputError
        When the file or folder does not exist, or an image has no labels, or several.
    """
    source = existing_path(labels)
    if not source.is_dir() or is_zarr(source):
        return [source] * len(inputs)
    roots = (_common_root(inputs), source)
    found = _paired(inputs, expand_inputs([source]), roots, ("images", "files of labels"))
    if found.alone[0]:
        image = found.alone[0][0]
        raise InputError(
            f"{image.name} needs one file of labels named {stem_of(image)!r} in {source}, which "
            "has no file of that name. Add it."
        )
    of_image = {pair.first: pair.second for pair in found.pairs}
    return [of_image[path] for path in inputs]


def _sorted_out(firsts: list[Path], seconds: list[Path]) -> tuple[list[Path], list[Path]]:
    """Part files that are in both sets: those with the ending of labels are of the second."""
    ours, theirs = ({os.path.realpath(path) for path in paths} for paths in (firsts, seconds))
    if ours == theirs:
        labels = [path for path in seconds if _LABEL_ENDING.search(stem_of(path))]
        if not labels or len(labels) == len(seconds):
            return firsts, seconds
        return [path for path in firsts if path not in labels], labels
    if theirs < ours:
        return [path for path in firsts if os.path.realpath(path) not in theirs], seconds
    return firsts, seconds


def _all_differ(paths: Sequence[Path]) -> bool:
    return len({stem_of(path) for path in paths}) == len(paths)


def _root_of(pattern: PathLike) -> Path:
    """Return the folder from which the names of subfolders count."""
    path = Path(pattern)
    if path.is_dir() and not is_zarr(path):
        return path
    fixed = [folder for folder in path.parents if not has_magic(str(folder))]
    return fixed[0] if fixed else Path()


def _common_root(paths: Sequence[Path]) -> Path:
    parents = [set(path.absolute().parents) for path in paths]
    return max(set.intersection(*parents), key=lambda folder: len(folder.parts))


def _by_name(paths: Iterable[Path], root: Path | None) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in paths:
        name = stem_of(path)
        if root is not None:
            folders = path.absolute().relative_to(root.absolute()).parts[:-1]
            kept = [folder for folder in folders if not _KIND_FOLDER.fullmatch(folder)]
            name = "/".join([*kept, name])
        other = named.setdefault(name, path)
        if other != path:
            raise InputError(
                f"{other} and {path} share the name {name!r}, so it is not clear which to pair. "
                "Rename one, or choose one kind with a quoted glob such as '*.tif'."
            )
    return named


def _core(name: str) -> str:
    """Return a name without its ending, if it has a known one."""
    return _ENDING.sub("", name)


def _matched(firsts: Mapping[str, Path], seconds: Mapping[str, Path]) -> list[Pair]:
    pairs = [Pair(name, firsts[name], seconds[name]) for name in firsts if name in seconds]
    equal = {pair.stem for pair in pairs}
    ours: dict[str, list[Path]] = defaultdict(list)
    theirs: dict[str, list[Path]] = defaultdict(list)
    for groups, named in ((ours, firsts), (theirs, seconds)):
        for name, path in named.items():
            if name not in equal:
                groups[_core(name)].append(path)
    for core, others in theirs.items():
        if core in equal:
            _refuse(firsts[core], [seconds[core], *others])
        found = ours.get(core, [])
        if len(found) > 1:
            _refuse(others[0], found)
        if found and len(others) > 1:
            _refuse(found[0], others)
        if found:
            pairs.append(Pair(core or stem_of(found[0]), found[0], others[0]))
    return sorted(pairs, key=lambda pair: pair.stem)


def _refuse(one: Path, several: Sequence[Path]) -> None:
    listed = " or ".join(str(path) for path in several[:3])
    more = f" or {len(several) - 3} more" if len(several) > 3 else ""
    raise InputError(
        f"{one} may belong to {listed}{more}, so it is not clear which to pair. Choose one kind "
        "with a quoted glob such as '*_mask.tif', or move the others to another folder."
    )


def _check_channels(pairs: Sequence[Pair], firsts: Mapping[str, Path]) -> None:
    """Refuse images whose channels are in files of their own, as nnU-Net has them."""
    for pair in pairs:
        name = stem_of(pair.first)
        if not name.endswith("_0000") or stem_of(pair.second) == name:
            continue
        case = name.removesuffix("_0000")
        channels = [
            path
            for path in firsts.values()
            if _CHANNEL.sub("", stem_of(path)) == case and path.parent == pair.first.parent
        ]
        if len(channels) > 1:
            raise InputError(
                f"{channels[0].name} and {channels[1].name} are channels of one image in files of "
                "their own. Join them into one file, or choose one with a quoted glob such as "
                "'*_0000.png'."
            )


def _rule(pairs: Sequence[Pair], *, folders: bool) -> str:
    endings: dict[str, Pair] = {}
    for pair in pairs:
        names = [stem_of(pair.first), stem_of(pair.second)]
        if names[0] != names[1]:
            for name in names:
                found = _ENDING.search(name)
                if found:
                    endings.setdefault(found[0], pair)
    by_folder = "Paired by the names of subfolders and files" if folders else ""
    if not endings:
        return f"{by_folder}." if by_folder else ""
    first = next(iter(endings.values()))
    example = f"such as {first.first.name} with {first.second.name}"
    lead = f"{by_folder}, without" if by_folder else "Paired by name without"
    return f"{lead} the ending {' or '.join(endings)}, {example}."


def _apart(pair: Pair, names: tuple[str, str]) -> Pair:
    if os.path.realpath(pair.first) == os.path.realpath(pair.second):
        raise InputError(
            f"{pair.first} is given for both the {names[0]} and the {names[1]}. Give two files, or "
            "two folders."
        )
    return pair


__all__ = ["ENDINGS", "Pair", "Pairing", "pair_labels", "pair_paths"]
