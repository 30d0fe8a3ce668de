"""Damaged and dishonest images: one sentence with the file's name, whenever the damage is found.

``UNETSEG_FUZZ=10000 pytest tests/core/io/test_damage.py`` breaks as many files as that.
"""

import io
import os
import shutil
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from numcodecs import Blosc

from napari_unetseg.core.errors import InputError, decoding, named_error, shorten
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import (
    expand_inputs,
    plan_outputs,
    read_image,
    write_image,
    write_labels,
)
from napari_unetseg.core.io import tiff_files as tiff
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.threshold import ThresholdOptions
from napari_unetseg.core.threshold.histogram import compute_histogram
from napari_unetseg.core.threshold.threshold_blocks import compute_contrasts

FUZZ = int(os.environ.get("UNETSEG_FUZZ", "160"))


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A folder of sound images in every format that is read here."""
    folder, rng = tmp_path / "sound", np.random.default_rng(0)
    folder.mkdir()
    numbers = rng.integers(0, 255, (3, 40, 48), dtype=np.uint8)
    image = Image(numbers, "ZYX", (2.0, 0.5, 0.5), "um")
    write_image(folder / "a.tif", image)
    write_image(folder / "b.zarr", image)
    options = {"compression": "zlib", "tile": (16, 16), "photometric": "minisblack"}
    tifffile.imwrite(folder / "c.tif", numbers, **options)
    np.save(folder / "d.npy", numbers)
    write_image(folder / "e.png", Image.of(numbers[0]))
    plain = zarr.create_array(
        folder / "f.zarr", shape=numbers.shape, chunks=(1, 32, 32), dtype="u1", zarr_format=3
    )
    plain[...] = numbers
    packed = zarr.create_array(
        folder / "g.zarr",
        shape=numbers.shape,
        chunks=(2, 40, 48),
        dtype="u2",
        zarr_format=2,
        compressors=Blosc(cname="lz4"),
    )
    packed[...] = numbers
    tifffile.imwrite(folder / "h.tif", numbers[0], photometric="minisblack", compression="lzma")
    return folder


@pytest.mark.filterwarnings("ignore")
def test_damaged_images_are_refused_or_read(sound, tmp_path, monkeypatch, mutations):
    rng, said = np.random.default_rng(1), []
    originals = sorted(sound.iterdir())
    for k in range(FUZZ):
        monkeypatch.setattr(tiff, "LAZY_ABOVE", 2**30 if k // len(originals) % 2 else 0)
        original = originals[k % len(originals)]
        path = tmp_path / original.name
        if original.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(original, path)
            mutations.folder_broken(path, rng)
        else:
            path.write_bytes(mutations.file_broken(original.read_bytes(), path.suffix, rng))
        try:
            image = read_image(path)
            if image.size < 2**24:
                image.asarray()
        except InputError as error:
            said.append((str(path), str(error)))
    assert all(path in error for path, error in said)
    assert len(said) > FUZZ / 5


def test_damage_found_while_a_lazy_image_is_read_names_the_file(sound):
    chunk = next(
        entry for entry in (sound / "f.zarr").rglob("*") if entry.is_file() and entry.name == "1"
    )
    chunk.write_bytes(b"\x00" * 20)
    image = read_image(sound / "f.zarr")
    with pytest.raises(InputError, match=r"f\.zarr cannot be read as an image"):
        image.asarray()


def test_a_programmers_error_flies():
    with pytest.raises(AttributeError), decoding("x.tif"):
        fit_normalisation(None, NormalisationSpec())  # type: ignore[arg-type]
    with pytest.raises(Cancelled), decoding("x.tif"):
        raise Cancelled
    with pytest.raises(InputError, match=r"x\.tif cannot be read: .*EOF"), decoding("x.tif"):
        np.lib.format.read_array(io.BytesIO(b"\x93NUMPY\x01\x00\x02\x00{("))


def test_words_on_functions_of_a_library_are_not_shown():
    sentence = "x is shown plainly: a value in it is not of the expected kind"
    with pytest.raises(InputError, match=sentence), decoding("x", failed="is shown plainly"):
        np.tri()  # type: ignore[call-overload]


def test_declared_sizes_are_compared_with_what_is_stored(tmp_path):
    huge = tmp_path / "huge.zarr"
    zarr.create_array(huge, shape=(10**6,) * 3, chunks=(64,) * 3, dtype="u2")
    with pytest.raises(InputError, match=r"huge\.zarr.*declares.*2\.0 EB.*stores only"):
        read_image(huge)
    # Zeros take no space, and are still an image.
    blank = tmp_path / "blank.zarr"
    zarr.create_array(blank, shape=(200_000, 200_000), chunks=(64, 64), dtype="u1")
    image = read_image(blank)
    assert image.shape == (200_000, 200_000)
    assert image.data.npartitions < 10**5


def test_booleans_are_normalised():
    image = Image.of(np.eye(20, dtype=bool))
    scaling = fit_normalisation(image, NormalisationSpec())
    as_bytes = fit_normalisation(Image.of(np.eye(20, dtype=np.uint8)), NormalisationSpec())
    assert scaling == as_bytes


def test_messages_are_short():
    assert len(str(InputError(f"There is no file {'x' * 5000}. Check the name."))) < 400
    assert len(shorten("a b " * 5000)) < 1010
    assert shorten("There is no file x.") == "There is no file x."


def test_letters_that_a_terminal_obeys_are_escaped():
    error = InputError("There is no file \x1b[31mred\n\u202efit.\udcff.")
    assert str(error) == r"There is no file \x1b[31mred\n\u202efit.\udcff."
    wide = "5 µm\N{NO-BREAK SPACE}wide, 日本.tif"
    assert str(InputError(wide)) == wide
    assert named_error("a\n.tif", InputError("a\n.tif is empty")) == r"a\n.tif is empty"
    assert named_error("a\n.tif", InputError("it is empty")) == r"a\n.tif: it is empty"


@pytest.fixture
def odd_names(tmp_path, monkeypatch):
    """Names that no file can have, in a folder where a link leads to itself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop.tif").symlink_to("loop.tif")
    return ["", " \n", "x" * 300 + ".tif", "y/" * 3000 + "a.tif", "loop.tif", "a\0.tif"]


def test_names_that_no_file_can_have_are_refused(odd_names):
    for name in odd_names:
        for use in (
            read_image,
            lambda name: expand_inputs([name]),
            lambda name: plan_outputs([Path("a.tif")], name, folder=False),
            lambda name: write_image(name, Image.of(np.zeros((4, 4), np.uint8))),
        ):
            with pytest.raises(InputError, match=r"empty|no name of a file|must end in") as refused:
                use(name)
            assert len(str(refused.value)) < 400


def test_a_link_to_itself_in_a_folder_costs_only_itself(odd_names, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 4)))
    assert [path.name for path in expand_inputs([tmp_path])] == ["a.npy", "loop.tif"]
    with pytest.raises(InputError, match=r"loop\.tif is no name of a file"):
        read_image("loop.tif")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(InputError, match="a device or a pipe"):
        read_image(tmp_path / "pipe.tif")


def test_the_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("n" * 251 + ".tif")
    write_image(path, Image.of(np.ones((4, 4), np.uint8)))
    assert read_image(path).data.all()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda image, progress: image.asarray(progress),
        lambda image, progress: compute_histogram(image.data, progress=progress),
        lambda image, progress: write_labels("labels.tif", image, progress=progress),
        lambda image, progress: compute_contrasts(
            image, ThresholdOptions(method="sauvola"), progress
        ),
    ],
    ids=["pixels", "histogram", "labels", "contrasts"],
)
def test_reading_a_lazy_image_can_be_cancelled(read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    n_read = []

    def count(block):
        n_read.append(block.shape)
        return block

    def cancel_soon(fraction, message="", /):
        if fraction > 0:
            raise Cancelled

    lazy = da.ones((320, 320), dtype=np.uint16, chunks=(8, 8)).map_blocks(count, dtype=np.uint16)
    n_read.clear()  # dask tries the function
    with pytest.raises(Cancelled):
        read(Image.of(lazy), cancel_soon)
    assert 0 < len(n_read) < 800
    assert os.listdir(tmp_path) == []


def test_a_lazy_image_is_read_whole(sound):
    lazy = read_image(sound / "f.zarr")
    assert lazy.lazy
    np.testing.assert_array_equal(lazy.asarray(), np.load(sound / "d.npy"))
