"""Recipes on images: each step is the function it names, and a batch survives what may happen."""

import csv
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference import prediction
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict, sized
from napari_unetseg.core.io import read_image, read_labels, write_image
from napari_unetseg.core.measure import MeasureOptions, measure, stacked_tables
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.progress import Cancelled, silent
from napari_unetseg.core.recipe import (
    Batch,
    ImageStep,
    MeasurementStep,
    Recipe,
    ThresholdStep,
    model_step,
    read_recipe,
    recipe_model,
    run_batch,
    run_recipe,
    summarise_batch,
)
from napari_unetseg.core.recipe.batch_summary import IMAGES_TABLE, OBJECTS_TABLE
from napari_unetseg.core.recipe.draft import Draft, move_recipe
from napari_unetseg.core.recipe.finished_log import Finished, FinishedLog
from napari_unetseg.core.recipe.process_pool import raise_if_ended, run_tasks
from napari_unetseg.core.samples import nuclei
from napari_unetseg.core.threshold import ThresholdOptions, threshold

PLANE = BackgroundOptions(terms="plane")
RECIPE = Recipe(
    background=PLANE,
    threshold=ThresholdStep(result="objects", min_size=15, split=True),
    measurement=MeasurementStep(hull=True),
)


@pytest.fixture(scope="module")
def image() -> Image:
    return nuclei((144, 160), seed=2).as_image()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images and one that is none."""
    place = tmp_path / "in"
    for seed in range(3):
        write_image(place / f"cells{seed}.tif", nuclei((48, 56), seed=seed).as_image())
    (place / "cells1b.tif").write_bytes(b"no image")
    return place


def batch_of(images: Path, out: Path, recipe: Recipe = RECIPE, **known: object) -> Batch:
    return Batch(recipe, tuple(sorted(images.iterdir())), out, **known)


def states(rows: list) -> list[str]:
    return [row.state for row in rows]


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class TestSteps:
    def test_every_step_is_the_function_it_names(self, image: Image) -> None:
        made = run_recipe(RECIPE, image)
        flat = fit_background(image, PLANE).flatten(image)
        options = ThresholdOptions(result="objects", min_size=15, split=True)
        labels = threshold(flat, options).image
        np.testing.assert_array_equal(made.flattened.data, flat.data)
        np.testing.assert_array_equal(made.labels.data, labels.data)
        assert labels.data.max() > 2
        expected = measure(labels, image, MeasureOptions(hull=True))
        assert list(made.table) == list(expected)
        for name, column in expected.items():
            np.testing.assert_array_equal(made.table[name], column)

    @pytest.mark.parametrize(
        ("intensities", "source"), [("image", "image"), ("flattened", "flattened")]
    )
    def test_intensities_are_of_what_is_asked_for(self, image, intensities, source) -> None:
        step = MeasurementStep(intensities=intensities)
        made = run_recipe(RECIPE.model_copy(update={"measurement": step}), image)
        numbers = {"image": image, "flattened": made.flattened}[source].asarray()
        inside = made.labels.data == made.table["label"][0]
        assert made.table["mean"][0] == pytest.approx(numbers[inside].mean(), rel=1e-5)

    def test_no_intensities_where_none_are_asked_for(self, image: Image) -> None:
        step = MeasurementStep(intensities="none")
        made = run_recipe(RECIPE.model_copy(update={"measurement": step}), image)
        assert "mean" not in made.table

    def test_levels_of_a_hand_are_used(self, image: Image) -> None:
        step = ThresholdStep(method="multiotsu", classes=3, values=(90.0, 200.0))
        made = run_recipe(Recipe(threshold=step), image)
        expected = np.digitize(image.data, (90, 200), right=True)
        np.testing.assert_array_equal(made.labels.data, expected)
        assert made.table is None
        assert made.flattened is None

    @pytest.mark.parametrize("name", ["DAPI", "1"])
    def test_a_channel_is_segmented_and_all_are_measured(self, image: Image, name: str) -> None:
        both = Image(
            np.stack([image.data[::-1], image.data]),
            "CYX",
            image.spacing,
            image.unit,
            channel_names=("GFP", "DAPI"),
        )
        made = run_recipe(RECIPE.model_copy(update={"image": ImageStep(channel=name)}), both)
        alone = run_recipe(RECIPE, image)
        np.testing.assert_array_equal(made.labels.data, alone.labels.data)
        np.testing.assert_array_equal(made.table["mean_DAPI"], alone.table["mean"])
        assert "mean_GFP" in made.table

    def test_a_channel_that_is_not_there_and_one_that_is_not_chosen(self, image: Image) -> None:
        both = Image(np.stack([image.data] * 2), "CYX", channel_names=("a", "b"))
        wrong = RECIPE.model_copy(update={"image": ImageStep(channel="c")})
        with pytest.raises(InputError, match="no channel 'c': there are a, b"):
            run_recipe(wrong, both)
        with pytest.raises(InputError, match="Name the channel to segment"):
            run_recipe(RECIPE, both)

    def test_it_can_be_cancelled(self, image: Image) -> None:
        def cancel(fraction: float, message: str = "", /) -> None:
            if fraction > 0.3:
                raise Cancelled

        with pytest.raises(Cancelled):
            run_recipe(RECIPE, image, progress=cancel)


class TestModels:
    @pytest.fixture
    def model(self, make_model):
        return make_model("unet", values=(0, 1), labels_are="mask")

    @pytest.mark.parametrize("what", ["classes", "objects", "probabilities"])
    def test_a_model_does_what_it_does_by_itself(self, model, image, tmp_path, what) -> None:
        save(model, tmp_path / "m.zip")
        step = model_step(tmp_path / "m.zip", tmp_path, PredictOptions(what=what))
        objects = DecodeOptions(split="none", min_size=4) if what == "objects" else None
        recipe = Recipe(model=step, objects=objects)
        opened = recipe_model(recipe, tmp_path)
        made = run_recipe(recipe, image, model=opened)
        found = made.probabilities if what == "probabilities" else made.labels
        expected = predict(model, image, PredictOptions(what=what), decoding=objects)
        np.testing.assert_array_equal(found.asarray(), expected.asarray())

    @pytest.mark.parametrize("size", [{"diameter": 6.0}, {"auto_diameter": True}])
    def test_it_sees_the_image_at_the_size_that_is_said(
        self, make_model, image, tmp_path, size, monkeypatch
    ) -> None:
        # No scale is the most plausible to a random model.
        monkeypatch.setattr(prediction, "plausible_zoom", lambda *_, **__: (0.7, 0.7))
        decoder, known = DecoderSpec(), {"values": (0, 1), "labels_are": "objects"}
        model = make_model("unet", decoder=decoder, diameter=9.0, **known)
        save(model, tmp_path / "m.zip")
        recipe = Recipe(
            model=model_step(tmp_path / "m.zip", tmp_path, PredictOptions(device="cpu", **size))
        )
        made = run_recipe(recipe, image, model=recipe_model(recipe, tmp_path))
        seen = sized(model, image, PredictOptions(**size))
        assert seen.zoom
        expected = predict(seen, image, PredictOptions(what="objects")).asarray()
        np.testing.assert_array_equal(made.labels.asarray(), expected)
        assert not np.array_equal(
            predict(model, image, PredictOptions(what="objects")).asarray(), expected
        )

    def test_a_model_that_ships_goes_by_its_name(self, model, tmp_path, monkeypatch) -> None:
        folder = tmp_path / "shipped"
        folder.mkdir()
        save(replace(model, name="nuclei"), folder / "nuclei.zip")
        monkeypatch.setattr(shipped, "FOLDER", folder)
        shipped.open_shipped.cache_clear()
        recipe = Draft(model=shipped.open_shipped("nuclei")).recipe(tmp_path)
        assert recipe.model.file == "nuclei"
        moved = move_recipe(recipe, tmp_path, tmp_path / "elsewhere" / "r.yaml")
        assert moved == recipe == read_recipe(tmp_path / "elsewhere" / "r.yaml")
        assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["r.yaml"]
        opened = recipe_model(moved, tmp_path / "elsewhere")
        assert opened.fingerprint == model.fingerprint
        (folder / "nuclei.zip").write_bytes(b"another")
        with pytest.raises(InputError, match="not the one"):
            recipe_model(moved, tmp_path)
        shipped.open_shipped.cache_clear()

    def test_what_is_not_said_of_objects_is_as_suits_the_model(self, model) -> None:
        step = {"file": "m.zip", "sha256": "0" * 64, "what": "objects"}
        said = Recipe(model=step, objects={"min_size": 9})
        suits = model.decoding
        assert said.decoding(model) == suits.model_copy(update={"min_size": 9})

    def test_workers_open_it_by_themselves(self, model, folder, tmp_path) -> None:
        save(model, tmp_path / "m.zip")
        options = PredictOptions(what="objects")
        recipe = Recipe(model=model_step(tmp_path / "m.zip", tmp_path, options))
        batch = batch_of(folder, tmp_path / "out", recipe, folder=tmp_path)

        @contextmanager
        def threads(n: int):
            with ThreadPoolExecutor(n) as pool:
                yield pool

        rows = run_batch(batch, jobs=2, open_pool=threads)
        assert states(rows) == ["done", "done", "failed", "done"]
        labels = read_labels(tmp_path / "out" / "labels" / "cells0.tif").data
        expected = predict(model, read_image(folder / "cells0.tif"), PredictOptions(what="objects"))
        np.testing.assert_array_equal(labels, expected.asarray())

    def test_it_is_not_run_without_its_model(self, image) -> None:
        step = {"file": "m.zip", "sha256": "0" * 64}
        with pytest.raises(InputError, match="needs its model"):
            run_recipe(Recipe(model=step), image)

    def test_a_batch_stops_before_it_begins_when_the_model_is_another(
        self, model, folder, tmp_path
    ) -> None:
        save(model, tmp_path / "m.zip")
        recipe = Recipe(model=model_step(tmp_path / "m.zip", tmp_path))
        (tmp_path / "m.zip").write_bytes(b"another")
        with pytest.raises(InputError, match="not the one the recipe was made with"):
            run_batch(batch_of(folder, tmp_path / "out", recipe, folder=tmp_path))
        assert not (tmp_path / "out").exists()


class TestBatch:
    def test_one_that_fails_stops_no_other(self, folder: Path, tmp_path: Path) -> None:
        out, told = tmp_path / "out", []
        rows = run_batch(batch_of(folder, out), on_row=told.append)
        assert states(rows) == ["done", "done", "failed", "done"]
        assert "cells1b.tif" in rows[2].message
        assert {row.state for row in told} == {"running", "done", "failed"}
        tables = {}
        for row in rows:
            if row.state == "done":
                made = run_recipe(RECIPE, read_image(row.path))
                labels = read_labels(out / "labels" / f"{row.stem}.tif")
                np.testing.assert_array_equal(labels.data, made.labels.data)
                assert labels.spacing == read_image(row.path).spacing
                assert row.objects == made.labels.data.max() > 0
                tables[row.stem] = made.table
        whole = rows_of(out / OBJECTS_TABLE)
        expected = stacked_tables(tables)
        assert [one["image"] for one in whole] == expected["image"]
        assert list(whole[0]) == list(expected)
        np.testing.assert_array_equal([float(r["mean"]) for r in whole], expected["mean"])
        images = rows_of(out / IMAGES_TABLE)
        assert [one["state"] for one in images] == states(rows)
        assert images[2]["message"] == rows[2].message
        size = "median_area_um2"
        assert float(images[0][size]) == pytest.approx(np.median(tables["cells0"]["area_um2"]))
        assert images[2][size] == ""
        assert read_recipe(out / "recipe.yaml") == RECIPE
        assert "3 of 4 images done, 1 failed" in summarise_batch(rows)

    def test_a_second_run_keeps_what_is_finished_and_gives_the_same(
        self, folder: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        run_batch(batch_of(folder, out))
        before = (out / OBJECTS_TABLE).read_bytes()
        rows = run_batch(batch_of(folder, out), resume=True)
        assert states(rows) == ["kept", "kept", "failed", "kept"]
        assert (out / OBJECTS_TABLE).read_bytes() == before
        assert states(run_batch(batch_of(folder, out))) == ["done", "done", "failed", "done"]

    def test_what_has_changed_is_done_again(self, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        run_batch(batch_of(folder, out))
        write_image(folder / "cells0.tif", nuclei((48, 56), seed=9).as_image())
        (out / "tables" / "cells2.csv").unlink()
        rows = run_batch(batch_of(folder, out), resume=True)
        assert states(rows) == ["done", "kept", "failed", "done"]
        other = RECIPE.model_copy(update={"threshold": ThresholdStep(result="objects")})
        rows = run_batch(batch_of(folder, out, other), resume=True)
        assert states(rows) == ["done", "done", "failed", "done"]

    def test_after_a_cancel_the_finished_stay_and_the_rest_is_done(
        self, folder: Path, tmp_path: Path
    ) -> None:
        out, done = tmp_path / "out", []

        def progress(fraction: float, message: str = "", /) -> None:
            if "done" in done:
                raise Cancelled

        batch = batch_of(folder, out)
        with pytest.raises(Cancelled):
            run_batch(batch, on_row=lambda row: done.append(row.state), progress=progress)
        assert sorted(os.listdir(out / "labels")) == ["cells0.tif"]
        rows = run_batch(batch, resume=True)
        assert states(rows) == ["kept", "done", "failed", "done"]
        whole = tmp_path / "whole"
        run_batch(batch_of(folder, whole))
        assert (whole / OBJECTS_TABLE).read_bytes() == (out / OBJECTS_TABLE).read_bytes()

    def test_several_processes_give_the_same(self, folder: Path, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        alone = run_batch(batch_of(folder, one))
        both = run_batch(batch_of(folder, two), jobs=2)
        assert states(alone) == states(both)
        assert (one / OBJECTS_TABLE).read_bytes() == (two / OBJECTS_TABLE).read_bytes()
        for name in os.listdir(one / "labels"):
            mine, other = (read_labels(place / "labels" / name) for place in (one, two))
            np.testing.assert_array_equal(mine.data, other.data)

    def test_flattened_images_are_kept_where_asked_for(self, folder, tmp_path, image) -> None:
        (folder / "cells1b.tif").unlink()
        alone = Recipe(background=PLANE)
        run_batch(batch_of(folder, tmp_path / "a", alone))
        run_batch(batch_of(folder, tmp_path / "b", flattened=True))
        run_batch(batch_of(folder, tmp_path / "c"))
        assert not (tmp_path / "c" / "flattened").exists()
        for place in ("a", "b"):
            found = read_image(tmp_path / place / "flattened" / "cells0.tif")
            source = read_image(folder / "cells0.tif")
            expected = fit_background(source, PLANE).flatten(source)
            np.testing.assert_array_equal(found.data, expected.data)
        assert not (tmp_path / "a" / OBJECTS_TABLE).exists()

    def test_nothing_begins_where_results_could_not_be_told_apart(
        self, folder: Path, tmp_path: Path
    ) -> None:
        twice = Batch(RECIPE, (folder / "cells0.tif", tmp_path / "cells0.png"), tmp_path / "out")
        with pytest.raises(InputError, match=r"would both become cells0\.tif"):
            run_batch(twice)
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="is a file"):
            run_batch(batch_of(folder, tmp_path / "file"))

    def test_a_file_that_vanished_fails_alone(self, folder: Path, tmp_path: Path) -> None:
        batch = batch_of(folder, tmp_path / "out")
        (folder / "cells0.tif").unlink()
        assert states(run_batch(batch)) == ["failed", "done", "failed", "done"]


def test_a_log_survives_what_a_crash_leaves(tmp_path: Path) -> None:
    log = FinishedLog(tmp_path / "log.jsonl")
    log.add(Finished("a", "word", 3, 0.5))
    with log.path.open("ab") as file:
        file.write(b'{"stem": "b", "made_by": "w')
    log.add(Finished("c", "word"))
    with log.path.open("ab") as file:
        file.write(b'\xff\xfe\n[1]\n{"stem": 1, "made_by": 2}\n' + b"x" * 100_000)
    assert log.read() == {"a": Finished("a", "word", 3, 0.5), "c": Finished("c", "word")}
    log.clear()
    assert log.read() == {}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, project_root: Path) -> None:
    """Let another process import this file: it looks where this one does."""
    monkeypatch.syspath_prepend(project_root)


def _dies_of_two(task: int) -> int:
    if task == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return task * task


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are ended otherwise here")
@pytest.mark.usefixtures("elsewhere")
def test_a_process_that_dies_takes_no_other_s_work_with_it() -> None:
    found = {a.task: a for a in run_tasks(range(5), _dies_of_two, 2, progress=silent)}
    assert {task: one.result for task, one in found.items()} == {0: 0, 1: 1, 2: None, 3: 9, 4: 16}
    assert [task for task, one in found.items() if one.died] == [2]


def _goes_on(place: Path) -> None:
    (place / f"begun {os.getpid()}").touch()
    for _ in range(600):
        raise_if_ended(0.0)
        time.sleep(0.1)
    (place / "finished").touch()


@pytest.mark.usefixtures("elsewhere")
def test_a_cancel_reaches_the_processes(tmp_path: Path) -> None:
    def progress(fraction: float, message: str = "", /) -> None:
        if any(tmp_path.iterdir()):
            raise Cancelled

    with pytest.raises(Cancelled):
        list(run_tasks([tmp_path] * 3, _goes_on, 2, progress=progress))
    assert not (tmp_path / "finished").exists()
    raise_if_ended(0.5)  # nobody tells this process
