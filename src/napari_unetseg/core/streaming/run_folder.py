"""What a run keeps on disk until it is finished, so that it can go on after any end.

A block is written to arrays first and marked as done afterwards, by a file that is put in its place
in one step. So whatever is marked is whole, whenever the run ended; what is not is done again.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io.pyramid import PyramidLayout, create

Arrays = dict[str, NDArray[Any]]

_STATE = "state.json"
RESULT = "result.zarr"


class RunFolder:
    """The folder of an unfinished run.

    Parameters
    ----------
    path
        Beside what is being made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._arrays: dict[str, Any] = {}

    @classmethod
    def beside(cls, out: Path) -> "RunFolder":
        """Return the folder of the run that makes a file or folder."""
        return cls(out.parent / f".{out.name}.unfinished")

    @property
    def result_path(self) -> Path:
        """Where the image is that is being made."""
        return self.path / RESULT

    def read(self) -> dict[str, Any]:
        """Return what is known of the run; nothing when there is none that could go on."""
        try:
            state = json.loads((self.path / _STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def write(self, state: Mapping[str, Any]) -> None:
        """Keep what is known of the run, in one step."""
        text = json.dumps(state, indent=1)
        self.put(_STATE, lambda draft: draft.write_text(text, encoding="utf-8"))

    def begin(self) -> None:
        """Make the folder, empty.

        Raises
        ------
        InputError
            When the place cannot be written.
        """
        self.remove()
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            raise InputError(
                f"Nothing can be written in {self.path.parent}: {error.strerror}. "
                "Choose another place."
            ) from error

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def done(self, stage: str) -> set[int]:
        """Return the numbers of the blocks that a stage is through with."""
        place = self.path / "done" / stage
        if not place.is_dir():
            return set()
        return {int(path.stem) for path in place.iterdir() if path.suffix == ".npz"}

    def mark(self, stage: str, number: int, found: Arrays) -> None:
        """Say that a block is done, and keep what was found in it."""
        (self.path / "done" / stage).mkdir(parents=True, exist_ok=True)

        def write(draft: Path) -> None:
            with draft.open("wb") as file:
                np.savez(file, **found)  # type: ignore[arg-type]

        self.put(f"done/{stage}/{number}.npz", write)

    def found(self, stage: str, number: int, *only: str) -> Arrays:
        """Return what was found in a block, or only some of it."""
        with np.load(self.path / "done" / stage / f"{number}.npz", allow_pickle=False) as kept:
            return {name: kept[name] for name in only or kept.files}

    def forget(self, *stages: str) -> None:
        """Forget what some stages did."""
        for stage in stages:
            shutil.rmtree(self.path / "done" / stage, ignore_errors=True)

    def create(
        self, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: DTypeLike
    ) -> None:
        """Make an array of zeros, in place of one that may be there."""
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
        """Return an array, to read and to write."""
        import zarr

        if name not in self._arrays:
            self._arrays[name] = zarr.open_array(self.path / f"{name}.zarr", mode="r+")
        return self._arrays[name]

    def create_result(self, layout: PyramidLayout) -> None:
        """Make the image that is being made, in place of one that may be there."""
        create(self.result_path, layout)
        self._arrays.pop(RESULT, None)

    @property
    def result(self) -> Any:
        """The group of the image that is being made."""
        import zarr

        if RESULT not in self._arrays:
            self._arrays[RESULT] = zarr.open_group(self.result_path, mode="r+")
        return self._arrays[RESULT]

    def put(self, name: str, write: Callable[[Path], Any]) -> None:
        """Write a file of the run in one step: it is whole, or not there.

        Parameters
        ----------
        name
            As seen from the folder.
        write
            Writes a draft of it.
        """
        target = self.path / name
        draft = target.with_name(target.name + ".draft")
        write(draft)
        os.replace(draft, target)


__all__ = ["RESULT", "Arrays", "RunFolder"]
