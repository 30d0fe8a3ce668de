"""Define, read, write and run recipes: the steps of an analysis and their options, as data."""

from napari_unetseg.core.recipe.batch_summary import ImageRow, summarise_batch
from napari_unetseg.core.recipe.execute import (
    RecipeResult,
    recipe_cell_model,
    recipe_image,
    recipe_model,
    run_recipe,
)
from napari_unetseg.core.recipe.image_batch import Batch, run_batch
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.recipe_files import (
    file_sha256,
    model_file,
    model_step,
    read_recipe,
    write_recipe,
)
from napari_unetseg.core.recipe.recipe_steps import (
    CellStep,
    ImageStep,
    MeasurementStep,
    ModelStep,
    ThresholdStep,
)
from napari_unetseg.core.recipe.recipe_yaml import (
    VERSION,
    RecipeError,
    parse_recipe,
    recipe_to_yaml,
)

__all__ = [
    "VERSION",
    "Batch",
    "CellStep",
    "ImageRow",
    "ImageStep",
    "MeasurementStep",
    "ModelStep",
    "Recipe",
    "RecipeError",
    "RecipeResult",
    "ThresholdStep",
    "file_sha256",
    "model_file",
    "model_step",
    "parse_recipe",
    "read_recipe",
    "recipe_cell_model",
    "recipe_image",
    "recipe_model",
    "recipe_to_yaml",
    "run_batch",
    "run_recipe",
    "summarise_batch",
    "write_recipe",
]
