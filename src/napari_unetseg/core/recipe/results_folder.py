"""Where the results of a recipe go."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import plan_outputs, write_image, write_labels, write_table
from napari_unetseg.core.io.paths import PathLike
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.recipe.execute import RecipeResult
from napari_unetseg.core.recipe.finished_log import FinishedLog, identity_of_image
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.recipe_files import relative_to, write_recipe

LABELS, FLATTENED, PROBABILITIES, TABLES = "labels", "flattened", "probabilities", "tables"
RECIPE_FILE, LOG_FILE = "recipe.yaml", "finished.jsonl"


@dataclass(frozen=True)
class ResultsFolder:
    """The folder that the results of a recipe go to.

    ::

        labels/NAME.tif         classes or objects
        flattened/NAME.tif      where asked for, or where nothing else is made
        probabilities/NAME.tif  of a model, where the recipe says so
        tables/NAME.csv         what was measured
        measurements.csv        all tables in one, with a column for the image
        images.csv              a row for each image
        recipe.yaml             what was done
        finished.jsonl          which images are done, for a later run to go on from

    Parameters
    ----------
    path
        Need not be there yet.
    recipe
        What is done.
    flattened
        Whether flattened images are kept although labels are made of them.
    suffix
        How the names of images end: ``.tif``, or ``.zarr`` for those larger than memory.
    level
        Which resolution of the images is worked on.
    """

    path: Path
    recipe: Recipe
    flattened: bool = False
    suffix: str = ".tif"
    level: int = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of images that are written."""
        recipe = self.recipe
        alone = recipe.threshold is None and recipe.model is None
        wanted = {
            LABELS: recipe.makes_labels,
            PROBABILITIES: recipe.model is not None and not recipe.makes_labels,
            FLATTENED: recipe.background is not None and (self.flattened or alone),
        }
        return tuple(kind for kind, is_wanted in wanted.items() if is_wanted)

    @property
    def log(self) -> FinishedLog:
        """Which images are done."""
        return FinishedLog(self.path / LOG_FILE)

    def files(self, stem: str) -> dict[str, Path]:
        """Return the files of an image by their kind."""
        found = {kind: self.path / kind / f"{stem}{self.suffix}" for kind in self.kinds}
        if self.recipe.measurement is not None:
            found[TABLES] = self.path / TABLES / f"{stem}.csv"
        return found

    def check(self, inputs: Sequence[Path]) -> None:
        """Check that every image can have its results here.

        Raises
        ------
        InputError
            When two would share a name, a file that is read or that nobody wrote here with a
            recipe would be overwritten, or the folder is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file. Give the name of a folder for the results.")
        outputs = [
            output
            for kind in self.kinds
            for output in plan_outputs(inputs, self.path / kind, folder=True, suffix=self.suffix)
        ]
        if not (self.path / RECIPE_FILE).is_file():
            there = next((output for output in outputs if output.exists()), None)
            if there is not None:
                raise InputError(
                    f"{there} is there already and no recipe has made it. Choose another folder "
                    "for the results, or move it away."
                )

    def begin(self, folder: PathLike) -> None:
        """Write down what is done.

        Parameters
        ----------
        folder
            That of the recipe, from which its model's path counts.

        Raises
        ------
        InputError
            When nothing can be written.
        """
        recipe = self.recipe
        if recipe.model is not None:
            file = relative_to(Path(folder) / recipe.model.file, self.path)
            model = recipe.model.model_copy(update={"file": file})
            recipe = recipe.model_copy(update={"model": model})
        write_recipe(self.path / RECIPE_FILE, recipe)

    def write(self, stem: str, made: RecipeResult, *, progress: Progress = silent) -> int | None:
        """Write the results of an image, each in one step; return how many objects there are.

        Raises
        ------
        InputError
            When one cannot be written.
        """
        files, kinds = self.files(stem), self.kinds
        for number, kind in enumerate(kinds):
            write = write_labels if kind == LABELS else write_image
            here = part(progress, number / len(kinds), (number + 1) / len(kinds))
            write(files[kind], getattr(made, kind), progress=here)
        if made.table is not None:
            write_table(files[TABLES], made.table)
        if made.labels is None or not self.recipe.makes_objects:
            return None
        return _highest(made.labels.data)

    def made_by(self, source: Path) -> str:
        """Return a word that is another one when an image would have other results."""
        level = f"-level{self.level}" if self.level else ""
        return f"{self.recipe.digest()}-{identity_of_image(source)}{level}"

    def has(self, stem: str) -> bool:
        """Whether all results of an image are there."""
        return all(file.exists() for file in self.files(stem).values())


def _highest(labels: Any) -> int:
    """Return the highest id: objects are numbered from 1 without gaps."""
    return int(labels.max())


__all__ = ["FLATTENED", "LABELS", "PROBABILITIES", "TABLES", "ResultsFolder"]
