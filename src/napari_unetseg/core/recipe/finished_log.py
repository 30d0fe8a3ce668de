"""Which images of a batch are finished: a log that a crash cannot spoil."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_unetseg.core.errors import InputError

_MAX_LINE = 2**16
_LENGTH = 16


@dataclass(frozen=True)
class Finished:
    """An image that is done.

    Parameters
    ----------
    stem
        Its name without suffix, which its results have too.
    made_by
        What its results were made of, in a word: the recipe, and the image's `identity_of_image`.
    objects
        How many objects there are; None where none are made.
    seconds
        How long it took.
    """

    stem: str
    made_by: str
    objects: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class FinishedLog:
    """A file with a line for each image that is done.

    Lines are only ever added, so that noting one costs the same however many there are, and a line
    that a crash cuts short counts for nothing.

    Parameters
    ----------
    path
        Need not be there yet.
    """

    path: Path

    def clear(self) -> None:
        """Forget what was finished before."""
        with self._writing():
            self.path.unlink(missing_ok=True)

    def add(self, finished: Finished) -> None:
        """Note that an image is done.

        Raises
        ------
        InputError
            When it cannot be written.
        """
        with self._writing(), self.path.open("a", encoding="utf-8") as file:
            # A line that was cut short before must not take this one with it.
            file.write(f"\n{json.dumps(asdict(finished))}\n")

    def read(self) -> dict[str, Finished]:
        """Return what is done, by the names of the images; nothing when there is no log."""
        found = {}
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            while line := file.readline(_MAX_LINE):
                if (one := _read_line(line)) is not None:
                    found[one.stem] = one
        return found

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror}.") from error


def identity_of_image(source: Path) -> str:
    """Return a word that is another one when a file, or one in a folder, has changed.

    Size and time of change tell: to read all of every image would take as long as to segment it.
    What is not there has a word of its own.
    """
    digest = hashlib.sha256()
    for name, path in _parts(source):
        with contextlib.suppress(OSError):
            state = path.stat()
            digest.update(f"{name} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:_LENGTH]


def _parts(source: Path) -> Iterator[tuple[str, Path]]:
    """Yield a file, or all files of a folder, in an order that is always the same."""
    if not source.is_dir():
        yield "", source
        return
    for folder, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            yield path.relative_to(source).as_posix(), path


def _read_line(line: bytes) -> Finished | None:
    try:
        one = Finished(**json.loads(line))
    except (ValueError, TypeError):
        return None
    named = isinstance(one.stem, str) and isinstance(one.made_by, str)
    counted = one.objects is None or isinstance(one.objects, int)
    return one if named and counted and isinstance(one.seconds, int | float) else None


__all__ = ["Finished", "FinishedLog", "identity_of_image"]
