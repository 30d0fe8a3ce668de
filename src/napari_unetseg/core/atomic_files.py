"""Atomic replacement of files: the old content stays until the new one is complete."""

import contextlib
import errno
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from napari_unetseg.core.errors import InputError

# Numpy gives no error number when an array is only partly written.
_FULL = (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_HELD = ".napari-unetseg-draft"
"""Lock file in a folder of drafts, held by the process that writes them."""

_MOMENT = 10.0
"""Seconds that a process may need to lock the folder that it made."""

_LONGEST = 40
_SUFFIX = ".draft"
_DRAFTS = re.compile(rf"\..*\.[a-z0-9_]{{8}}\{_SUFFIX}", re.DOTALL)

_ATTEMPTS = 20
_moving = threading.Lock()
_temporary: set[Path] = set()
"""Temporary folders of this process."""


class CannotWriteError(InputError):
    """Report a file that cannot be written."""


@dataclass
class _Outputs:
    """Collect the drafts of a block that replaces all its files at its end."""

    folders: ExitStack
    finished: list[tuple[Path, Path]] = field(default_factory=list)


_outputs: ContextVar[_Outputs | None] = ContextVar("outputs", default=None)


def named_path(name: str | os.PathLike[str]) -> Path:
    """Return the path of a name that a user or a file gave, whether or not it exists.

    Raises
    ------
    InputError
        When the name is blank, is too long, has a letter that no name can have, or is a link that
        leads back to itself.
    """
    text = os.fspath(name)
    if not text.strip():
        raise InputError("The name of a file is empty. Give a name.")
    try:
        os.stat(text)
    except (OSError, ValueError) as error:
        # Whoever opens the file reports all else; Windows also refuses the star of a glob here.
        if isinstance(error, ValueError) or error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"{text} is no name of a file: {reason}. Change the name.") from error
    return Path(text)


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Provide a temporary path next to `path`, and move it there afterwards.

    The file or folder at `path` is replaced atomically and only when the block succeeds: after an
    error, cancel or Ctrl-C the old content remains, without a partial file or a new empty folder.
    Missing parent folders are created. What a killed process left is removed by the next one that
    writes in the folder.

    Raises
    ------
    CannotWriteError
        When the path cannot be written.
    """
    target, outputs = named_path(path), _outputs.get()
    with ExitStack() as own:
        folders = own if outputs is None else outputs.folders
        draft = folders.enter_context(_draft_folder(target)) / target.name
        with _in_a_sentence(target):
            yield draft
            if outputs is None:
                _put_draft(draft, target)
            else:
                outputs.finished.append((draft, target))


@contextmanager
def writing_together() -> Iterator[None]:
    """Replace all files that are written with `writing` in the block at its end, or none.

    Raises
    ------
    CannotWriteError
        When one of them cannot be written.
    """
    if _outputs.get() is not None:
        yield
        return
    with ExitStack() as folders:
        outputs = _Outputs(folders)
        token = _outputs.set(outputs)
        try:
            yield
        finally:
            _outputs.reset(token)
        for draft, target in outputs.finished:
            with _in_a_sentence(target):
                _put_draft(draft, target)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Provide a folder that is removed afterwards."""
    folder = _make_folder("napari-unetseg-", None)
    try:
        yield folder
    finally:
        _remove_folder(folder)


def remove_unfinished() -> None:
    """Remove all temporary folders of this process, which is about to end; no file is moved then.

    Threads may still write into them, so they are removed until they stay away.
    """
    _moving.acquire()
    for _ in range(_ATTEMPTS):
        folders = list(_temporary)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        if not any(map(os.path.exists, folders)):
            return


def check_output(path: str | os.PathLike[str]) -> None:
    """Check that a file can be written, without writing it.

    Raises
    ------
    InputError
        When it is a folder, or its own folder is a file or not writable.
    """
    target = named_path(path)
    if os.path.isdir(target) and target.suffix.lower() != ".zarr":
        raise InputError(f"{target} is a folder. Give the name of a file.")
    folder = next(
        (parent for parent in target.absolute().parents if parent.exists()), Path(target.anchor)
    )
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder. Choose another folder.")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder} is not writable. Choose another folder.")


def put(draft: Path, target: Path, *, aside: Path) -> None:
    """Move `draft` to `target`; an existing folder, which cannot be replaced, is moved aside first.

    A folder is only replaced by a folder: replacing it by a file would be a mistake that costs all
    in it.
    """
    if os.path.isdir(target) and not os.path.isdir(draft):
        raise IsADirectoryError(errno.EISDIR, "there is a folder of that name")
    if os.path.isdir(target):
        os.replace(target, aside)
        try:
            os.replace(draft, target)
        except OSError:
            os.replace(aside, target)
            raise
    else:
        os.replace(draft, target)


def _put_draft(draft: Path, target: Path) -> None:
    with _moving:
        put(draft, target, aside=draft.with_name("replaced"))


def _make_folder(prefix: str, parent: Path | None, suffix: str = "") -> Path:
    folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=parent))
    _temporary.add(folder)
    return folder


def _remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    # After an interrupt, a thread that still computes may write once more: see remove_unfinished.
    if not isinstance(sys.exception(), KeyboardInterrupt):
        _temporary.discard(folder)


@contextmanager
def _in_a_sentence(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            reason += ". The disk is full: free some space, or choose another folder"
        raise CannotWriteError(f"{target} cannot be written: {reason}.") from error


@contextmanager
def _draft_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside `target`, locked while it is used, and remove it afterwards."""
    from filelock import FileLock

    new = [parent for parent in target.parents if not os.path.exists(parent)]
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_old_drafts(target.parent.resolve())
            folder = _make_folder(f".{target.name[:_LONGEST]}.", target.parent, _SUFFIX)
        except OSError as error:
            raise CannotWriteError(
                f"Nothing can be written in {target.parent}: {error.strerror}. Choose another "
                "folder."
            ) from error
        lock = FileLock(folder / _HELD, thread_local=False)
        try:
            # Where files cannot be locked, drafts of killed processes stay.
            with contextlib.suppress(OSError, NotImplementedError):
                lock.acquire(blocking=False)
            yield folder
        finally:
            lock.release()
            _remove_folder(folder)
    finally:
        for parent in new:
            # Only if it is empty: then nothing was written there after all.
            with contextlib.suppress(OSError):
                parent.rmdir()


@lru_cache(maxsize=1024)
def remove_old_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes left in a folder, once in each process."""
    from filelock import FileLock, Timeout

    for path in folder.iterdir() if folder.is_dir() else ():
        if not _DRAFTS.fullmatch(path.name) or path.is_symlink():
            continue
        held = path / _HELD
        with contextlib.suppress(OSError, NotImplementedError, Timeout):
            # Killed just after it made the folder, or before it removed it, it has no lock.
            places = [place for place in (path, held) if os.path.exists(place)]
            if time.time() - max(place.stat().st_mtime for place in places) < _MOMENT:
                continue
            if held in places:
                with FileLock(held, blocking=False):
                    pass
            shutil.rmtree(path, ignore_errors=True)


__all__ = [
    "CannotWriteError",
    "check_output",
    "named_path",
    "put",
    "remove_old_drafts",
    "remove_unfinished",
    "temporary_folder",
    "writing",
    "writing_together",
]
