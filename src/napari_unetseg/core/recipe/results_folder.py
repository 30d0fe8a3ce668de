"""Lay out and write the results folder of a recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unetseg.core.atomic_files import remove_old_drafts
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import (
    plan_outputs,
    write_image,
    write_labels,
    write_table,
    writing_together,
)
from napari_unetseg.core.io.paths import PathLike, named_path
from napari_unetseg.core.measure import Table, measure_tracks
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.recipe.execute import RecipeResult
from napari_unetseg.core.recipe.finished_log import FinishedLog, file_identity
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.recipe_files import relative_to, write_recipe

LABELS, FLATTENED, PROBABILITIES, TABLES = "labels", "flattened", "probabilities", "tables"
TRACKS = "tracks"
NUCLEI, CYTOPLASM = "nuclei", "cytoplasm"
RECIPE_FILE, LOG_FILE = "recipe.yaml", "finished.jsonl"


@dataclass(frozen=True)
class ResultsFolder:
    """Describe the results folder of a recipe, and write to it.

    ::

        labels/NAME.tif         classes or objects; the cells if the recipe has cells
        nuclei/NAME.tif         with cells: the nuclei, with the number of their cell
        cytoplasm/NAME.tif      with cells: the cells without their nuclei
        flattened/NAME.tif      if asked for, or if nothing else is made
        probabilities/NAME.tif  of a model, if the recipe asks for them
        tables/NAME.csv         the measurements
        tracks/NAME.csv         the tracks of objects that are linked over time and measured
        measurements.csv        all tables in one, with a column for the image
        images.csv              a row for each image
        recipe.yaml             the recipe
        finished.jsonl          the finished images, for a later run to resume from

    Parameters
    ----------
    path
        The folder; need not exist yet.
    recipe
        The steps and their options.
    flattened
        Whether to write background-corrected images as well as labels.
    suffix
        File suffix of images: ``.tif``, or ``.zarr`` for images larger than memory.
    level
        Resolution level to process; 0 is the full resolution.
    """

    path: Path
    recipe: Recipe
    flattened: bool = False
    suffix: str = ".tif"
    level: int = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of images to write."""
        recipe = self.recipe
        background_only = recipe.threshold is None and recipe.model is None
        conditions = {
            LABELS: recipe.makes_labels,
            NUCLEI: recipe.cells is not None,
            CYTOPLASM: recipe.cells is not None,
            PROBABILITIES: recipe.model is not None and not recipe.makes_labels,
            FLATTENED: recipe.background is not None and (self.flattened or background_only),
        }
        return tuple(kind for kind, is_wanted in conditions.items() if is_wanted)

    @property
    def log(self) -> FinishedLog:
        """The log of finished images."""
        return FinishedLog(self.path / LOG_FILE)

    def files(self, stem: str) -> dict[str, Path]:
        """Return the result files of an image by kind."""
        paths = {kind: self.path / kind / f"{stem}{self.suffix}" for kind in self.kinds}
        if self.recipe.measurement is not None:
            paths[TABLES] = self.path / TABLES / f"{stem}.csv"
        return paths

    def check(self, inputs: Sequence[Path]) -> None:
        """Check that the results of all images can be written here.

        Raises
        ------
        InputError
            When two images would share a name, an input file or a file that no recipe has made
            would be overwritten, or the folder is a file.
        """
        if named_path(self.path).exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file. Give the name of a folder for the results.")
        outputs = [
            output
            for kind in self.kinds
            for output in plan_outputs(inputs, self.path / kind, folder=True, suffix=self.suffix)
        ]
        if not (self.path / RECIPE_FILE).is_file():
            existing = next((output for output in outputs if output.exists()), None)
            if existing is not None:
                raise InputError(
                    f"{existing} exists already and no recipe has made it. Choose another folder "
                    "for the results, or move the file away."
                )

    def begin(self, folder: PathLike) -> None:
        """Write the recipe into the folder, and remove what a killed run left.

        Parameters
        ----------
        folder
            The recipe's folder, which its model path is relative to.

        Raises
        ------
        InputError
            When the recipe cannot be written.
        """
        for path in self.files("").values():
            remove_old_drafts(path.parent.resolve())
        recipe = self.recipe
        for name, step in (("model", recipe.model), ("cell_model", recipe.cell_model)):
            if step is not None:
                file = relative_to(Path(folder) / step.file, self.path)
                recipe = recipe.model_copy(update={name: step.model_copy(update={"file": file})})
        write_recipe(self.path / RECIPE_FILE, recipe)

    def write(self, stem: str, results: RecipeResult, *, progress: Progress = silent) -> int | None:
        """Write the results of an image, all or none; return the number of objects.

        Raises
        ------
        InputError
            When a result cannot be written.
        """
        files, kinds = self.files(stem), self.kinds
        with writing_together():
            for number, kind in enumerate(kinds):
                write = write_labels if kind in (LABELS, NUCLEI, CYTOPLASM) else write_image
                progress_of_kind = part(progress, number / len(kinds), (number + 1) / len(kinds))
                write(files[kind], getattr(results, kind), progress=progress_of_kind)
            if results.table is not None:
                write_table(files[TABLES], results.table)
                self.write_tracks(stem, results.table)
        if results.labels is None or not self.recipe.makes_objects:
            return None
        if results.n_cells is not None:
            return results.n_cells
        return _highest(results.labels.data)

    def write_tracks(self, stem: str, table: Table) -> None:
        """Write the table of the tracks of an image, if its objects are linked over time."""
        if "parent" in table and "z" not in table:
            write_table(self.path / TRACKS / f"{stem}.csv", measure_tracks(table))

    def made_by(self, source: Path) -> str:
        """Return a key that changes when the results of an image would change."""
        level = f"-level{self.level}" if self.level else ""
        return f"{self.recipe.digest()}-{file_identity(source)}{level}"

    def has(self, stem: str) -> bool:
        """Return whether all results of an image exist."""
        return all(file.exists() for file in self.files(stem).values())


def _highest(labels: Any) -> int:
    """Return the highest id, which is the count: objects are numbered from 1 without gaps."""
    return int(labels.max())


__all__ = ["CYTOPLASM", "FLATTENED", "LABELS", "NUCLEI", "PROBABILITIES", "TABLES", "ResultsFolder"]
