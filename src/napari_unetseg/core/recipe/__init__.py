"""Recipes: what worked on one image, as data, to be done with the next thousand."""

from napari_unetseg.core.recipe.batch_summary import ImageRow, batch_in_words
from napari_unetseg.core.recipe.execute import RecipeResult, recipe_image, recipe_model, run_recipe
from napari_unetseg.core.recipe.image_batch import Batch, run_batch
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.recipe_files import (
    hash_of,
    model_file,
    model_step,
    read_recipe,
    write_recipe,
)
from napari_unetseg.core.recipe.recipe_steps import (
    ImageStep,
    MeasurementStep,
    ModelStep,
    ThresholdStep,
)
from napari_unetseg.core.recipe.recipe_yaml import (
    VERSION,
    RecipeError,
    parse_recipe,
    written_recipe,
)

__all__ = [
    "VERSION",
    "Batch",
    "ImageRow",
    "ImageStep",
    "MeasurementStep",
    "ModelStep",
    "Recipe",
    "RecipeError",
    "RecipeResult",
    "ThresholdStep",
    "batch_in_words",
    "hash_of",
    "model_file",
    "model_step",
    "parse_recipe",
    "read_recipe",
    "recipe_image",
    "recipe_model",
    "run_batch",
    "run_recipe",
    "write_recipe",
    "written_recipe",
]
