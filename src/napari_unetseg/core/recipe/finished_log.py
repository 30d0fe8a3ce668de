"""Log the finished images of a batch, in a file that survives a crash.

`napari_unetseg.core.recipe.image_batch.run_batch` reads it to resume.
"""

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
    """Hold the log entry of a finished image.

    Parameters
    ----------
    stem
        Name of the image, and of its results, without suffix.
    made_by
        Key of what the results depend on: the recipe's digest and the image's `file_identity`.
    objects
        Number of objects; None if the recipe makes none.
    seconds
        Processing time.
    message
        A sentence on why the results may be wrong, or ``""``.
    """

    stem: str
    made_by: str
    objects: int | None = None
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class FinishedLog:
    """Append to and read a file with one line per finished image.

    Lines are only appended, so adding one costs the same at any length of the log. A line that a
    crash cut short is ignored.

    Parameters
    ----------
    path
        The log file; need not exist yet.
    """

    path: Path

    def clear(self) -> None:
        """Delete the log."""
        with self._writing():
            self.path.unlink(missing_ok=True)

    def add(self, finished: Finished) -> None:
        """Append a finished image.

        Raises
        ------
        InputError
            When the log cannot be written.
        """
        with self._writing(), self.path.open("a", encoding="utf-8") as file:
            # The leading newline separates this line from one that was cut short before.
            file.write(f"\n{json.dumps(asdict(finished))}\n")

    def read(self) -> dict[str, Finished]:
        """Return the finished images by name; empty when there is no log."""
        finished = {}
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            while line := file.readline(_MAX_LINE):
                if (entry := _read_line(line)) is not None:
                    finished[entry.stem] = entry
        return finished

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror}.") from error


def file_identity(source: Path) -> str:
    """Return a key that changes when a file, or a file in a folder, changes.

    It is a hash of sizes and modification times: hashing the pixels would take as long as
    segmenting them. A missing file has a key of its own.
    """
    digest = hashlib.sha256()
    for name, path in _files(source):
        with contextlib.suppress(OSError):
            state = path.stat()
            digest.update(f"{name} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:_LENGTH]


def _files(source: Path) -> Iterator[tuple[str, Path]]:
    """Yield a file, or all files of a folder in a fixed order."""
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
        entry = Finished(**json.loads(line))
    except (ValueError, TypeError):
        return None
    named = all(isinstance(text, str) for text in (entry.stem, entry.made_by, entry.message))
    counted = entry.objects is None or isinstance(entry.objects, int)
    return entry if named and counted and isinstance(entry.seconds, int | float) else None


__all__ = ["Finished", "FinishedLog", "file_identity"]
