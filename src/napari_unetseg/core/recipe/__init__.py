"""Recipes: what worked on one image, as data, to be done with the next thousand."""

from napari_unetseg.core.recipe.files import (
    hash_of,
    model_file,
    model_step,
    read_recipe,
    write_recipe,
)
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.steps import ImageStep, MeasurementStep, ModelStep, ThresholdStep
from napari_unetseg.core.recipe.text import VERSION, RecipeError, parse_recipe, written_recipe

__all__ = [
    "VERSION",
    "ImageStep",
    "MeasurementStep",
    "ModelStep",
    "Recipe",
    "RecipeError",
    "ThresholdStep",
    "hash_of",
    "model_file",
    "model_step",
    "parse_recipe",
    "read_recipe",
    "write_recipe",
    "written_recipe",
]
