"""Store the intermediate results of a run on disk, so that it can resume after any interruption.

A block is first written to arrays and then marked as done, by a file that is moved into place
atomically. So a marked block is complete whenever the run ended; other blocks are repeated.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unetseg.core.atomic_files import writing
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io.pyramid import PyramidLayout, create

Arrays = dict[str, NDArray[Any]]

_STATE = "state.json"
RESULT = "result.zarr"


class RunFolder:
    """Read and write the folder of an unfinished run.

    Parameters
    ----------
    path
        The folder, beside the result.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._arrays: dict[str, Any] = {}

    @classmethod
    def beside(cls, out: Path) -> "RunFolder":
        """Return the run folder for an output file or folder."""
        return cls(out.parent / f".{out.name}.unfinished")

    @property
    def result_path(self) -> Path:
        """The path of the unfinished result image."""
        return self.path / RESULT

    def read(self) -> dict[str, Any]:
        """Read the state of the run; empty when there is none to resume."""
        try:
            state = json.loads((self.path / _STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def write(self, state: Mapping[str, Any]) -> None:
        """Write the state of the run atomically."""
        text = json.dumps(state, indent=1)
        self.put(_STATE, lambda draft: draft.write_text(text, encoding="utf-8"))

    def begin(self) -> None:
        """Create an empty folder.

        Raises
        ------
        InputError
            When the folder cannot be created.
        """
        self.remove()
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            raise InputError(
                f"{self.path.parent} is not writable: {error.strerror}. Choose another folder."
            ) from error

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def done(self, stage: str) -> set[int]:
        """Return the numbers of the blocks that a stage has finished."""
        folder = self.path / "done" / stage
        if not folder.is_dir():
            return set()
        return {int(path.stem) for path in folder.iterdir() if path.suffix == ".npz"}

    def mark(self, stage: str, number: int, found: Arrays) -> None:
        """Mark a block as done, and store its results."""

        def write(draft: Path) -> None:
            with draft.open("wb") as file:
                np.savez(file, **found)  # type: ignore[arg-type]

        self.put(f"done/{stage}/{number}.npz", write)

    def found(self, stage: str, number: int, *only: str) -> Arrays:
        """Read the stored results of a block, or only the named ones."""
        with np.load(self.path / "done" / stage / f"{number}.npz", allow_pickle=False) as stored:
            return {name: stored[name] for name in only or stored.files}

    def forget(self, *stages: str) -> None:
        """Delete the marks and results of stages."""
        for stage in stages:
            shutil.rmtree(self.path / "done" / stage, ignore_errors=True)

    def create(
        self, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: DTypeLike
    ) -> None:
        """Create an array of zeros, replacing an existing one."""
        import zarr

        zarr.create_array(
            self.path / f"{name}.zarr",
            shape=shape,
            chunks=tuple(min(a, b) for a, b in zip(chunks, shape, strict=True)),
            dtype=np.dtype(dtype),
            fill_value=0,
            overwrite=True,
        )
        self._arrays.pop(name, None)

    def array(self, name: str) -> Any:
        """Open an array to read and write."""
        import zarr

        if name not in self._arrays:
            self._arrays[name] = zarr.open_array(self.path / f"{name}.zarr", mode="r+")
        return self._arrays[name]

    def create_result(self, layout: PyramidLayout) -> None:
        """Create the result image, replacing an existing one."""
        create(self.result_path, layout)
        self._arrays.pop(RESULT, None)

    @property
    def result(self) -> Any:
        """The Zarr group of the unfinished result image."""
        import zarr

        if RESULT not in self._arrays:
            self._arrays[RESULT] = zarr.open_group(self.result_path, mode="r+")
        return self._arrays[RESULT]

    def put(self, name: str, write: Callable[[Path], Any]) -> None:
        """Write a file of the run atomically.

        Parameters
        ----------
        name
            Path relative to the folder.
        write
            Writes the draft file that is then moved into place.
        """
        with writing(self.path / name) as draft:
            write(draft)


__all__ = ["RESULT", "Arrays", "RunFolder"]
