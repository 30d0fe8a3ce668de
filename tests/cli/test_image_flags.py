"""``--axes`` and ``--channel`` on every command that reads images."""

import numpy as np
import pytest
import tifffile

from napari_unetseg.cli import main
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, read_labels, write_image

COMMANDS = ("background", "threshold", "predict", "train", "compare", "evaluate", "measure", "run")


@pytest.fixture
def discs(tmp_path):
    """Return the path of an unnamed (Y, X, C) file: a disc in channel 0, another in channel 1."""
    y, x = np.mgrid[:64, :80]
    planes = [np.hypot(y - 30, x - centre) < radius for centre, radius in ((20, 12), (60, 8))]
    data = 50 + 100 * np.stack([*planes, np.zeros_like(planes[0])], -1).astype(np.uint16)
    np.save(tmp_path / "discs.npy", data)
    return tmp_path / "discs.npy"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_reads_images_has_them(command, capsys):
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--axes" in shown
    assert "--channel" in shown


@pytest.mark.parametrize(("channel", "size"), [("0", 12), ("1", 8)])
def test_threshold_and_measure_take_a_channel(discs, tmp_path, channel, size):
    flags = ["--axes", "yxc", "--channel", channel]
    labels, table = tmp_path / "labels.tif", tmp_path / "table.csv"
    assert main(["threshold", str(discs), "-o", str(labels), *flags]) == 0
    assert np.count_nonzero(read_labels(labels).data) == pytest.approx(np.pi * size**2, rel=0.1)
    assert main(["measure", str(labels), str(discs), "-o", str(table), *flags]) == 0
    header, row = table.read_text().splitlines()
    assert float(dict(zip(header.split(","), row.split(","), strict=True))["mean"]) == 150


def test_background_takes_a_channel(discs, tmp_path):
    flags = ["--axes", "YXC", "--channel", "1", "--terms", "constant"]
    assert main(["background", str(discs), "-o", str(tmp_path / "flat.tif"), *flags]) == 0
    assert read_image(tmp_path / "flat.tif").axes == "YX"


def test_predict_says_which_channels_there_are(discs, tmp_path, capsys):
    out = str(tmp_path / "found.tif")
    assert main(["predict", "nuclei", str(discs), "-o", out, "--axes", "YXC"]) == 2
    assert "Choose 1 of the channels 0, 1, 2" in capsys.readouterr().err
    assert (
        main(["predict", "nuclei", str(discs), "-o", out, "--axes", "YXC", "--channel", "0"]) == 0
    )
    assert read_labels(out).axes == "YX"


def test_an_unknown_channel_is_a_sentence(discs, tmp_path, capsys):
    flags = ["-o", str(tmp_path / "labels.tif"), "--axes", "YXC", "--channel", "DAPI"]
    assert main(["threshold", str(discs), *flags]) == 2
    assert "There is no channel 'DAPI': there are 0 to 2" in capsys.readouterr().err


def test_channels_that_are_taken_for_columns_are_doubted(tmp_path, capsys):
    np.save(tmp_path / "c.npy", np.random.default_rng(0).random((60, 70, 2)))
    assert main(["threshold", str(tmp_path / "c.npy"), "-o", str(tmp_path / "labels.tif")]) == 0
    assert "rather of channels, YXC. Give --axes" in capsys.readouterr().err


def test_a_model_is_trained_on_chosen_channels_and_finds_them_by_name(tmp_path):
    rng = np.random.default_rng(1)
    labels = np.ones((40, 40), np.uint8)
    labels[:, 20:] = 2
    data = np.stack([rng.random((40, 40)), labels * 50.0]).astype(np.float32)
    write_image(tmp_path / "a.zarr", Image(data, "CYX", channel_names=("noise", "signal")))
    swapped = Image(data[::-1].copy(), "CYX", channel_names=("signal", "noise"))
    write_image(tmp_path / "b.zarr", swapped)
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    model, out = tmp_path / "model.zip", tmp_path / "found.tif"
    given = [str(tmp_path / "a.zarr"), str(tmp_path / "labels.tif"), "-o", str(model)]
    assert main(["train", *given, "--channel", "signal", "--model", "logistic"]) == 0
    assert main(["predict", str(model), str(tmp_path / "b.zarr"), "-o", str(out)]) == 0
    assert np.mean(read_labels(out).data == labels) > 0.95


@pytest.mark.parametrize("channel", ["0", "'0'", "DAPI"])
@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".zarr"])
def test_a_recipe_chooses_a_channel_of_a_named_file(tmp_path, channel, suffix):
    y, x = np.mgrid[:40, :40]
    disc = 200.0 * (np.hypot(y - 20, x - 20) < 9)
    image = Image(np.stack([disc, 200 - disc]).astype(np.uint8), "CYX", channel_names=("DAPI", "b"))
    kind = {"ome": True} if suffix == ".ome.tif" else {}
    if kind:
        channels = {"axes": "CYX", "Channel": {"Name": ["DAPI", "b"]}}
        tifffile.imwrite(tmp_path / "named.ome.tif", image.data, metadata=channels, **kind)
    else:
        write_image(tmp_path / f"named{suffix}", image)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"format: napari-unetseg recipe\nversion: 1\nimage: {{channel: {channel}}}\n"
        "background: {terms: constant}\nthreshold: {method: otsu, result: objects}\n"
    )
    flags = ["-o", str(tmp_path / "out"), "--flattened"]
    assert main(["run", str(recipe), str(tmp_path / f"named{suffix}"), *flags]) == 0
    labels = read_labels(tmp_path / "out" / "labels" / "named.tif")
    assert labels.axes == "YX"
    assert labels.data.max() == 1
    assert np.count_nonzero(labels.data) == np.count_nonzero(disc)
