"""Record the steps applied to one image in the window; the model may not be saved to a file yet."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from napari_unetseg.core.atomic_files import writing, writing_together
from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.models_io.foreign.foreign_model import ForeignModel
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.recipe_files import (
    file_sha256,
    model_file,
    model_step,
    write_recipe,
)
from napari_unetseg.core.recipe.recipe_steps import (
    ImageStep,
    MeasurementStep,
    ModelStep,
    ThresholdStep,
)

_HASH = 8
_LONGEST = 40


@dataclass(frozen=True, eq=False)
class Draft:
    """Hold the steps that led to a result.

    Parameters
    ----------
    image, background, threshold, objects, measurement
        As in `Recipe`.
    model
        The model that was run instead of a threshold.
    options
        Options of the prediction.
    remarks
        Manual steps that cannot be repeated on other images; one sentence each.
    """

    image: ImageStep = ImageStep()  # noqa: RUF009 - frozen
    background: BackgroundOptions | None = None
    threshold: ThresholdStep | None = None
    model: TrainedModel | None = None
    options: PredictOptions = PredictOptions()  # noqa: RUF009 - frozen
    objects: DecodeOptions | None = None
    measurement: MeasurementStep | None = None
    remarks: tuple[str, ...] = ()

    def recipe(self, folder: Path) -> Recipe:
        """Return the recipe, with its model saved to a folder. Imports torch to write the model.

        Raises
        ------
        InputError
            When the model cannot be written or found.
        """
        step = None
        if self.model is not None:
            step = model_step(_saved_model(self.model, folder), folder, self.options)
        return Recipe(
            image=self.image,
            background=self.background,
            threshold=self.threshold,
            model=step,
            objects=self.objects,
            measurement=self.measurement,
        )


def move_recipe(recipe: Recipe, folder: Path, path: Path) -> Recipe:
    """Write a recipe and copy its model beside it; return the recipe with the new model path.

    Parameters
    ----------
    folder
        The recipe's former folder, which its model path is relative to.

    Raises
    ------
    InputError
        When the model is missing or differs, or a file cannot be written.
    """
    copied: dict[Path, Path] = {}
    if path.parent.resolve() != folder.resolve():
        for name, step in (("model", recipe.model), ("cell_model", recipe.cell_model)):
            if step is not None:
                moved = _moved_model(step, folder, path.parent, copied)
                recipe = recipe.model_copy(update={name: moved})
    with writing_together():
        for target, source in copied.items():
            with writing(target) as draft:
                shutil.copyfile(source, draft)
        write_recipe(path, recipe)
    return recipe


def _moved_model(step: ModelStep, folder: Path, place: Path, copied: dict[Path, Path]) -> ModelStep:
    """Return the step of a model for a recipe in another folder; note the file to copy there."""
    source = model_file(step, folder)
    if shipped.shipped_name(source):
        return step
    target = place / source.name
    if not (target.is_file() and file_sha256(target) == step.sha256):
        if target.exists() or copied.get(target, source) != source:
            raise InputError(
                f"{target} is another model of the same name. Save the recipe elsewhere, or "
                "rename that file."
            )
        copied[target] = source
    return step.model_copy(update={"file": source.name})


def _saved_model(model: TrainedModel, folder: Path) -> Path:
    """Return the file of a model, and save it first if there is none."""
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
