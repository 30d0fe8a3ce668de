"""Models that ship: found by name where a file would do, small, and honest about themselves."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unetseg.cli import main
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.object_size import median_diameter
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict, sized
from napari_unetseg.core.inference.zoomed import resampled
from napari_unetseg.core.io import read_image, read_labels, write_image
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.models_io.foreign import describe_model, open_model, self_test
from napari_unetseg.core.models_io.native import describe, save
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.scoring.object_scores import object_scores
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of
from napari_unetseg.core.scoring.pixel_scores import dice

Make = Callable[..., TrainedModel]
LARGEST = 3_000_000
OBJECTS: dict[str, Any] = {"values": (0, 1), "labels_are": "objects", "decoder": DecoderSpec()}


@pytest.fixture
def standins(make_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two models of random weights in place of those that ship, and an empty folder to work in."""
    folder, here = tmp_path / "shipped", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    save(make_model("unet", name="nuclei", diameter=20.0, **OBJECTS), folder / "nuclei.zip")
    save(make_model("unet", name="animals", seed=1), folder / "animals.zip")
    monkeypatch.setattr(shipped, "FOLDER", folder)
    monkeypatch.chdir(here)
    shipped.open_shipped.cache_clear()
    yield here
    shipped.open_shipped.cache_clear()


def run(*words: object) -> int:
    return main([str(word) for word in words])


# Those of the package


def test_the_models_of_the_package_are_found() -> None:
    assert {"nuclei", "stained_nuclei", "cytology_nuclei", "general"} <= set(shipped.names())
    assert set(shipped.names()) <= set(shipped.LINES), "each has a line"


@pytest.mark.skipif("stained_nuclei" not in shipped.names(), reason="needs the shipped model")
def test_a_model_of_colour_takes_colour_only() -> None:
    model = shipped.open_shipped("stained_nuclei")
    shown = np.random.default_rng(0).integers(0, 255, (64, 72, 3)).astype(np.uint8)
    assert predict(model, Image.of(shown, "YXC", rgb=True)).shape == (64, 72)
    with pytest.raises(InputError, match="has 1 channel"):
        predict(model, Image.of(shown[..., 0]))


@pytest.mark.parametrize("name", shipped.names())
def test_what_ships_is_small_and_says_what_it_is(name: str) -> None:
    path = shipped.path_of(name)
    assert path.stat().st_size < LARGEST
    model = shipped.open_shipped(name)
    assert model.name == name
    assert (model.spec.kind, model.ndim) == (shipped.shipped_kind(name), shipped.NDIM)
    told = describe(path)
    assert told["card"]["licence"]
    assert told["card"]["description"]
    assert model.provenance["sources"], "what it learnt from"
    assert "seed" in model.provenance
    assert all(scores["dice"] > 0 for scores in model.provenance["tests"].values())
    assert (model.diameter > 0) == (model.decoder is not None)
    assert self_test(path).passed


@pytest.mark.skipif("general" not in shipped.names(), reason="needs the shipped general model")
@pytest.mark.parametrize(
    ("place", "n", "floor", "other"),
    [("nuclei_fluo_cc0", 5, 0.75, "phase_cells"), ("phase_cells_mit", 2, 0.6, "nuclei")],
)
def test_the_general_model_finds_cells_where_a_model_of_one_kind_does_not(
    place: str, n: int, floor: float, other: str, shared_data: Path
) -> None:
    found: dict[str, list[float]] = {"general": [], other: []}
    for mask in sorted((shared_data / place / "masks").iterdir())[:n]:
        (path,) = (shared_data / place / "images").glob(f"{mask.stem}.*")
        truth, image = read_labels(mask).asarray() > 0, read_image(path).grey()
        for name, scores in found.items():
            objects = PredictOptions(what="objects")
            said = predict(shipped.open_shipped(name), image, objects).asarray()
            scores.append(dice(said > 0, truth))
    means = {name: float(np.mean(scores)) for name, scores in found.items()}
    assert means["general"] > floor, means
    assert means[other] < means["general"] - 0.15, means


# By name


def test_a_name_is_taken_where_a_file_is(standins: Path) -> None:
    assert shipped.names() == ("nuclei", "animals")
    assert open_model("nuclei").fingerprint == shipped.open_shipped("nuclei").fingerprint
    assert describe_model("nuclei")["diameter of the objects"] == "20 pixels"
    assert self_test("nuclei").passed
    assert shipped.shipped_name(shipped.path_of("animals")) == "animals"
    assert shipped.shipped_name(standins / "animals.zip") == ""
    with pytest.raises(InputError, match="nuclei, animals"):
        open_model("nucleus")
    with pytest.raises(InputError, match="no shipped model"):
        shipped.path_of("../nuclei")


def test_a_file_in_the_folder_wins_and_a_folder_of_images_does_not(
    standins: Path, make_model: Make
) -> None:
    (standins / "nuclei").mkdir()
    assert open_model("nuclei").diameter == 20
    assert not shipped.hides_shipped("nuclei")
    save(make_model("unet", seed=7), standins / "own.zip")
    os.rename(standins / "own.zip", standins / "animals")
    assert shipped.hides_shipped("animals")
    assert open_model("animals").name == "random unet"


def test_the_command_line_knows_them(
    standins: Path, capsys: pytest.CaptureFixture[str], make_model: Make
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 48)).astype(np.uint8)
    write_image(standins / "image.tif", Image.of(image))
    assert run("predict", "nuclei", "image.tif", "-o", "ids.tif") == 0
    assert "object" in capsys.readouterr().out
    assert read_image(standins / "ids.tif").shape == (40, 48)
    assert run("predict", "nuclei", "image.tif", "-o", "ids.tif", "--diameter", 10) == 0
    assert "scaled by 2 for" in capsys.readouterr().out
    assert run("predict", "nuclei", "image.tif", "-o", "ids.tif", "--auto-diameter") == 0
    words = ("--diameter", 10, "--auto-diameter")
    assert run("predict", "nuclei", "image.tif", "-o", "ids.tif", *words) == 2
    assert "only with" in capsys.readouterr().err
    assert run("predict", "animals", "image.tif", "-o", "ids.tif", "--diameter", 10) == 2
    assert "not known how large" in capsys.readouterr().err
    save(make_model("unet"), standins / "mine.zip")
    assert run("models", standins) == 0
    listed = capsys.readouterr().out
    assert "  nuclei: unet, objects of 20 pixels" in listed
    assert "  mine.zip: unet" in listed
    assert run("info", "nuclei", "--test") == 0
    os.rename(standins / "mine.zip", standins / "animals")
    assert run("info", "animals") == 0
    assert "the one in this folder" in capsys.readouterr().err


def test_the_pixel_size_is_compared(standins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 48)).astype(np.uint8)
    write_image(standins / "image.tif", Image.of(image, spacing=(0.65, 0.65), unit="µm"))
    assert run("predict", "nuclei", "image.tif", "-o", "ids.tif") == 0
    assert "0.65 → 0.5 µm" in capsys.readouterr().out
    assert run("predict", "nuclei", "image.tif", "-o", "ids.tif", "--rescale") == 0
    assert "scaled by 1.3 for" in capsys.readouterr().out


@pytest.mark.skipif("nuclei" not in shipped.names(), reason="needs the shipped model of nuclei")
@pytest.mark.parametrize(
    ("by", "n", "gain", "of_measured"), [(0.4, 6, 0.05, 0.0), (4.0, 2, 0.01, -0.01)]
)
def test_nuclei_of_another_size_are_found_at_their_diameter(
    by: float, n: int, gain: float, of_measured: float, shared_data: Path
) -> None:
    model = shipped.open_shipped("nuclei")
    place = shared_data / "nuclei_fluo_cc0"
    found: dict[str, list[Overlap]] = {"as it is": [], "known": [], "measured": []}
    for mask in sorted((place / "masks").iterdir())[:n]:
        (path,) = (place / "images").glob(f"{mask.stem}.*")
        ids, image = read_labels(mask).asarray(), read_image(path).grey().asarray()
        sides = [round(side * by) for side in ids.shape]
        rows, columns = (((np.arange(n) + 0.5) / by).astype(int) for n in sides)
        truth = ids[np.ix_(rows, columns)].astype(np.int32)
        zoom, start = (by, by), (0, 0)
        shown = Image.of(resampled(image[None].astype(np.float32), zoom, start, start, sides)[0])
        objects = PredictOptions(what="objects")
        options = {
            "as it is": PredictOptions(),
            "known": PredictOptions(diameter=median_diameter([truth])),
            "measured": PredictOptions(auto_diameter=True),
        }
        for way, size in options.items():
            said = predict(sized(model, shown, size), shown, objects).asarray()
            found[way].append(overlap_of(said, truth))
    scores = {way: object_scores(Overlap.joined(several)).f1 for way, several in found.items()}
    assert scores["known"] > scores["as it is"] + gain, scores
    # Four times as large nuclei are found as well as they are.
    assert scores["measured"] > scores["as it is"] + of_measured, scores
    assert scores["known"] > 0.7, scores
