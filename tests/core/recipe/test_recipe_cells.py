"""Recipes of two channels: nuclei in one, cells in another, paired and measured."""

import csv
import hashlib
import json
import sys

import numpy as np
import pytest

from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_labels, write_image
from napari_unetseg.core.measure import measure_cells
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.objects.compartments import find_compartments
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.recipe import (
    Batch,
    CellStep,
    ImageStep,
    MeasurementStep,
    Recipe,
    RecipeError,
    ThresholdStep,
    model_step,
    parse_recipe,
    recipe_cell_model,
    recipe_to_yaml,
    run_batch,
    run_recipe,
)
from napari_unetseg.core.recipe.draft import move_recipe
from napari_unetseg.core.recipe.methods_text import methods_paragraph
from napari_unetseg.core.recipe.script_export import python_script
from napari_unetseg.core.samples import cells as draw_cells
from napari_unetseg.core.scoring.object_scores import object_scores
from napari_unetseg.core.scoring.overlap import overlap_of
from napari_unetseg.core.streaming import ByBlocks, stream
from napari_unetseg.core.threshold import threshold

NUCLEI = ThresholdStep(result="objects", min_size=15)
CELLS = ThresholdStep(sigma=1.0, min_size=40)
HEAD = "format: napari-unetseg recipe\nversion: 2\nimage: {channel: '0'}\n"


def recipe_of(method="objects", **options):
    found = {} if method == "grow" else {"cell_threshold": CELLS}
    channel = {} if method == "grow" else {"channel": "cytoplasm"}
    return Recipe(
        image=ImageStep(channel="0"),
        threshold=NUCLEI,
        cells=CellStep(method=method, **channel, **options),
        measurement=MeasurementStep(),
        **found,
    )


@pytest.fixture(scope="module")
def sample():
    return draw_cells((240, 260), seed=5)


@pytest.mark.parametrize("method", ["objects", "mask", "grow"])
def test_a_recipe_is_its_steps(sample, method):
    recipe, image = recipe_of(method), sample.as_image()
    made = run_recipe(recipe, image)
    nuclei = threshold(image.channel(0), NUCLEI).image
    regions = threshold(image.channel(1), CELLS.model_copy(update={"result": "objects"})).image
    found = find_compartments(nuclei, None if method == "grow" else regions, recipe.cells)
    assert np.array_equal(made.labels.data, found.cells.data)
    assert np.array_equal(made.nuclei.data, found.nuclei.data)
    assert np.array_equal(made.cytoplasm.data, found.cytoplasm.data)
    assert made.n_cells == found.n_cells > 10
    table = measure_cells(found, image, recipe.measurement)
    assert list(made.table) == list(table)
    for name, column in table.items():
        assert np.array_equal(made.table[name], column, equal_nan=column.dtype.kind == "f")
    assert parse_recipe(recipe_to_yaml(recipe)) == recipe


def test_cells_of_a_sample_are_found(sample):
    made = run_recipe(recipe_of("mask"), sample.as_image())
    assert object_scores(overlap_of(made.labels.data, sample.objects)).f1 > 0.75


def test_cells_have_a_background_and_a_model_of_their_own(sample, make_model, tmp_path):
    model = make_model("unet", values=(0, 1), labels_are="mask")
    save(model, tmp_path / "m.zip")
    step = model_step(tmp_path / "m.zip", tmp_path)
    recipe = Recipe(
        image=ImageStep(channel="nuclei"),
        threshold=NUCLEI,
        cells=CellStep(channel="1"),
        cell_background=BackgroundOptions(terms="plane"),
        cell_model=step,
        cell_objects=DecodeOptions(min_size=9),
    )
    assert parse_recipe(recipe_to_yaml(recipe)) == recipe
    with pytest.raises(InputError, match="needs its model"):
        run_recipe(recipe, sample.as_image())
    opened = recipe_cell_model(recipe, tmp_path)
    made = run_recipe(recipe, sample.as_image(), cell_model=opened)
    alone = run_recipe(recipe.cell_recipe, sample.as_image(), model=opened)
    inside = alone.labels.data > 0
    assert np.array_equal(made.labels.data[inside], alone.labels.data[inside])
    moved = move_recipe(recipe, tmp_path, tmp_path / "other" / "r.yaml")
    assert (tmp_path / "other" / moved.cell_model.file).is_file()
    write_image(tmp_path / "a.tif", sample.as_image())
    batch = Batch(recipe, (tmp_path / "a.tif",), tmp_path / "out", tmp_path)
    assert [row.state for row in run_batch(batch)] == ["done"]
    written = read_labels(tmp_path / "out" / "labels" / "a.tif")
    assert np.array_equal(written.data, made.labels.data)
    assert recipe.digest() != recipe.model_copy(update={"cell_objects": None}).digest()


def test_a_batch_writes_all_compartments(sample, tmp_path):
    for name in "ab":
        write_image(tmp_path / f"{name}.tif", sample.as_image())
    files = (tmp_path / "a.tif", tmp_path / "b.tif")
    recipe = recipe_of()
    rows = run_batch(Batch(recipe, files, tmp_path / "out"))
    made = run_recipe(recipe, sample.as_image())
    assert [(row.state, row.objects) for row in rows] == [("done", made.n_cells)] * 2
    for kind, image in (("labels", made.labels), ("nuclei", made.nuclei)):
        written = read_labels(tmp_path / "out" / kind / "b.tif")
        assert np.array_equal(written.data, image.data)
    assert (tmp_path / "out" / "cytoplasm" / "a.tif").is_file()
    with open(tmp_path / "out" / "measurements.csv", encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * made.n_cells
    with open(tmp_path / "out" / "images.csv", encoding="utf-8", newline="") as file:
        head = next(csv.reader(file))
    assert "median_nucleus_area_um2" in head
    assert not [name for name in head if "centroid" in name]


@pytest.mark.parametrize(
    "recipe",
    [
        recipe_of(overlap=0.4),
        recipe_of("mask", boundary="dark"),
        recipe_of("grow", distance=3.0),
    ],
)
def test_the_script_makes_what_the_recipe_makes(monkeypatch, sample, tmp_path, recipe):
    write_image(tmp_path / "a.tif", sample.as_image())
    monkeypatch.setattr(sys, "argv", ["s.py", str(tmp_path / "a.tif"), str(tmp_path / "out")])
    exec(compile(python_script(recipe), "s.py", "exec"), {"__name__": "__main__"})
    made = run_recipe(recipe, sample.as_image())
    for kind, image in (
        ("labels", made.labels),
        ("nuclei", made.nuclei),
        ("cytoplasm", made.cytoplasm),
    ):
        assert np.array_equal(read_labels(tmp_path / "out" / kind / "a.tif").data, image.data)
    with open(tmp_path / "out" / "tables" / "a.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(made.table)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("threshold: {}\ncells: {method: grow}", "needs nuclei as objects"),
        ("threshold: {result: objects}\ncells: {}", "needs cell_threshold or cell_model"),
        ("threshold: {result: objects}\ncell_threshold: {}", "there is no step cells"),
        (
            "threshold: {result: objects}\ncells: {method: grow}\ncell_threshold: {}",
            "cells of the nuclei alone",
        ),
        (
            "threshold: {result: objects}\ncells: {distance: 3.0}\ncell_threshold: {}",
            "only with cells.method: grow",
        ),
        (
            "threshold: {result: objects}\ncells: {}\ncell_threshold: {}\ncell_objects: {}",
            "needs cell_model",
        ),
    ],
)
def test_steps_that_contradict_are_refused(text, error):
    with pytest.raises(RecipeError, match=error):
        parse_recipe(HEAD + text)


def test_channels_must_be_named(sample):
    image = sample.as_image()
    unnamed = recipe_of().model_copy(update={"image": ImageStep()})
    with pytest.raises(InputError, match="under image: channel"):
        run_recipe(unnamed, image)
    unnamed = recipe_of().model_copy(update={"cells": CellStep()})
    with pytest.raises(InputError, match="under cells: channel"):
        run_recipe(unnamed, image)


def test_larger_than_memory_is_refused(sample, tmp_path):
    with pytest.raises(InputError, match="paired with cells in memory only"):
        stream(recipe_of(), sample.as_image(), tmp_path / "out.zarr")
    assert not list(tmp_path.iterdir())
    write_image(tmp_path / "a.tif", sample.as_image())
    batch = Batch(recipe_of(), (tmp_path / "a.tif",), tmp_path / "out", suffix=".zarr")
    (row,) = run_batch(batch, make=ByBlocks())
    assert row.state == "failed"
    assert "paired with cells in memory only" in row.message


def test_recipes_without_cells_keep_their_hash():
    recipe = Recipe(threshold=ThresholdStep(result="objects"))
    known = recipe.model_dump(mode="json")
    former = {name: step for name, step in known.items() if not name.startswith("cell")}
    text = json.dumps(former, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest().startswith(recipe.digest())


def test_the_methods_name_the_cells():
    different = {
        methods_paragraph(recipe)
        for recipe in (
            recipe_of(),
            recipe_of(overlap=0.7),
            recipe_of(nucleus="largest"),
            recipe_of(without_nucleus="remove"),
            recipe_of("mask"),
            recipe_of("mask", boundary="bright"),
            recipe_of("grow"),
            recipe_of("grow", distance=9.0),
        )
    }
    assert len(different) == 8


def test_times_are_paired_one_by_one(sample):
    image = sample.as_image()
    movie = Image.of(
        np.stack([image.data, image.data[:, ::-1]]),
        "TCYX",
        spacing=image.spacing,
        unit=image.unit,
        channel_names=image.channel_names,
    )
    one, both = run_recipe(recipe_of(), image), run_recipe(recipe_of(), movie)
    assert np.array_equal(both.labels.data[0] > 0, one.labels.data > 0)
    assert both.n_cells == 2 * one.n_cells
    assert set(both.table["t"]) == {0, 1}
