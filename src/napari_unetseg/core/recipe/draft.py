"""What was done with one image in a window, before it is a recipe: its model may have no file."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.io.paths import writing
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.models_io.foreign.foreign_model import ForeignModel
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.recipe_files import hash_of, model_file, model_step, write_recipe
from napari_unetseg.core.recipe.recipe_steps import MeasurementStep, ThresholdStep

_HASH = 8
_LONGEST = 40


@dataclass(frozen=True, eq=False)
class Draft:
    """The steps that led to a result.

    Parameters
    ----------
    background, threshold, objects, measurement
        As in `Recipe`.
    model
        What was run instead of a threshold.
    options
        How it was run.
    remarks
        What was done besides, and cannot be done again with other images; a sentence each.
    """

    background: BackgroundOptions | None = None
    threshold: ThresholdStep | None = None
    model: TrainedModel | None = None
    options: PredictOptions = PredictOptions()  # noqa: RUF009 - frozen
    objects: DecodeOptions | None = None
    measurement: MeasurementStep | None = None
    remarks: tuple[str, ...] = ()

    def recipe(self, folder: Path) -> Recipe:
        """Return the recipe, its model as a file in a folder. Imports torch, to write that.

        Raises
        ------
        InputError
            When the model cannot be written or found.
        """
        step = None
        if self.model is not None:
            step = model_step(_kept(self.model, folder), folder, self.options)
        return Recipe(
            background=self.background,
            threshold=self.threshold,
            model=step,
            objects=self.objects,
            measurement=self.measurement,
        )


def move_recipe(recipe: Recipe, folder: Path, path: Path) -> Recipe:
    """Write a recipe's file with its model beside it, and return it as it is there.

    Parameters
    ----------
    folder
        Where it was until now, from which its model's path counts.

    Raises
    ------
    InputError
        When the model is not there or another, or something cannot be written.
    """
    if recipe.model is not None and path.parent.resolve() != folder.resolve():
        source = model_file(recipe.model, folder)
        if shipped.shipped_name(source):
            write_recipe(path, recipe)
            return recipe
        target = path.parent / source.name
        if not (target.is_file() and hash_of(target) == recipe.model.sha256):
            if target.exists():
                raise InputError(
                    f"{target} is another model of the same name. Save the recipe elsewhere, or "
                    "rename that file."
                )
            with writing(target) as draft:
                shutil.copyfile(source, draft)
        model = recipe.model.model_copy(update={"file": source.name})
        recipe = recipe.model_copy(update={"model": model})
    write_recipe(path, recipe)
    return recipe


def _kept(model: TrainedModel, folder: Path) -> Path:
    """Return the file of a model: that of another's, or one that is written unless it is there."""
    if isinstance(model, ForeignModel):
        path = Path(model.source)
        if path.is_dir():
            raise InputError(
                f"The model {model.name!r} is a folder, and a recipe names a file. Zip {path}, "
                "load that and predict with it."
            )
        return path
    if name := shipped.name_of_model(model):
        return shipped.path_of(name)
    letters = "".join(c if c.isalnum() and c.isascii() else "-" for c in model.name)
    path = folder / f"{letters.strip('-')[:_LONGEST] or 'model'}-{model.fingerprint[:_HASH]}.zip"
    if not path.is_file():
        save(model, path)
    return path


__all__ = ["Draft", "move_recipe"]
