"""Calibration of files: units per axis, what is missing, slides, scenes, and sets of files."""

import json
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import dask.array
import numpy as np
import pytest
import tifffile
import zarr

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import (
    expand_inputs,
    file_contents,
    read_image,
    read_lazily,
    write_image,
)

STACK = np.zeros((4, 20, 30), np.uint8)
STACK[1:3, 5:15, 5:25] = 1


def ome(path, **sizes):
    metadata = {"axes": "ZYX", **{f"PhysicalSize{name}": value for name, value in sizes.items()}}
    tifffile.imwrite(path, STACK, ome=True, metadata=metadata)
    return path


def imagej(path, **metadata):
    tifffile.imwrite(
        path, STACK, imagej=True, resolution=(2, 4), metadata={"axes": "ZYX", **metadata}
    )
    return path


def ngff(path, *units, scale=(2000.0, 0.25, 0.5)):
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=STACK, chunks=STACK.shape)
    axes = [
        {"name": name, "type": "space", **({"unit": unit} if unit else {})}
        for name, unit in zip("zyx", units, strict=True)
    ]
    placed = [{"type": "scale", "scale": list(scale)}]
    datasets = [{"path": "0", "coordinateTransformations": placed}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    return path


class TestEveryAxisInItsUnit:
    def test_ome(self, tmp_path):
        sizes = {"X": 325.0, "XUnit": "nm", "Y": 325.0, "YUnit": "nm", "Z": 1.5, "ZUnit": "µm"}
        image = read_image(ome(tmp_path / "a.ome.tif", **sizes))
        assert (image.spacing, image.unit) == ((1500.0, 325.0, 325.0), "nm")

    def test_imagej(self, tmp_path):
        image = read_image(
            imagej(tmp_path / "a.tif", unit="um", yunit="nm", zunit="nm", spacing=1500)
        )
        assert (image.spacing, image.unit) == ((1.5, 0.00025, 0.5), "µm")

    def test_ome_zarr(self, tmp_path):
        image = read_image(ngff(tmp_path / "a.zarr", "nanometer", "micrometer", "micrometer"))
        assert (image.spacing, image.unit) == ((2.0, 0.25, 0.5), "µm")


class TestMissing:
    def test_y_is_x(self, tmp_path):
        image = read_image(ome(tmp_path / "a.ome.tif", X=0.325, Z=1.0))
        assert image.spacing == (1.0, 0.325, 0.325)

    def test_a_z_step_is_said_to_be_missing(self, tmp_path):
        for path in (
            ome(tmp_path / "a.ome.tif", X=0.5, Y=0.5),
            imagej(tmp_path / "a.tif", unit="um"),
            ngff(tmp_path / "a.zarr", "", "micrometer", "micrometer"),
        ):
            image = read_image(path)
            assert (image.unit, image.assumed) == ("µm", "Z")
            assert "Z step" in image.notes[0]

    def test_imagej_itself_leaves_out_a_step_of_one(self, tmp_path):
        path = imagej(tmp_path / "a.tif", unit="um")
        path.write_bytes(path.read_bytes().replace(b"ImageJ=1.11a", b"ImageJ=1.54f"))
        image = read_image(path)
        assert (image.spacing[0], image.assumed) == (1.0, "")
        assert "as ImageJ does" in image.notes[0]

    def test_a_unit_that_is_no_length_is_kept(self, tmp_path):
        image = read_image(imagej(tmp_path / "a.tif", unit="furlong", spacing=2))
        assert (image.spacing, image.unit) == ((2.0, 0.25, 0.5), "furlong")
        assert "furlong" in image.notes[0]


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".zarr"])
@pytest.mark.parametrize("dtype", ["uint8", "uint32", "int64"])
@pytest.mark.parametrize("assumed", ["", "Z"])
def test_what_is_written_reads_back(tmp_path, suffix, dtype, assumed):
    data = np.ones((2, 3, 4, 5), dtype)
    spacing = (0.2, 0.1, 0.2) if assumed else (1.7, 0.1, 0.2)
    image = Image(data, "TZYX", spacing, "nm", interval=0.35, assumed=assumed)
    write_image(tmp_path / f"a{suffix}", image)
    back = read_image(tmp_path / f"a{suffix}")
    assert (back.axes, back.spacing, back.unit) == (image.axes, image.spacing, image.unit)
    assert (back.interval, back.assumed) == (image.interval, image.assumed)


def test_slides_give_micrometres_per_pixel(tmp_path):
    path = tmp_path / "a.svs"
    described = "Aperio Image Library v11.2.1\n20x30 [0,0 20x30]|AppMag = 20|MPP = 0.4990|Left = 1"
    with tifffile.TiffWriter(path) as file:
        file.write(
            np.zeros((64, 64, 3), np.uint8), tile=(32, 32), description=described, metadata=None
        )
    image = read_image(path)
    assert (image.spacing, image.unit) == ((0.499, 0.499), "µm")


def test_a_pyramid_in_a_tiff_has_levels(tmp_path):
    path = tmp_path / "a.ome.tif"
    size = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(np.ones((64, 64), np.uint8), subifds=1, metadata=size, tile=(32, 32))
        file.write(np.ones((32, 32), np.uint8), subfiletype=1, tile=(32, 32))
    coarse = read_lazily(path, level=1)
    assert (coarse.shape, coarse.spacing, coarse.lazy) == ((32, 32), (1.0, 1.0), True)
    assert coarse.asarray().all()
    with pytest.raises(InputError, match="no level 2"):
        read_image(path, level=2)


class TestScenes:
    def test_of_a_tiff(self, tmp_path):
        path = tmp_path / "a.ome.tif"
        with tifffile.TiffWriter(path, ome=True) as file:
            for n, name in enumerate(("left", "right")):
                size = {"axes": "YX", "Name": name, "PhysicalSizeX": n + 1.0}
                file.write(np.full((8 + n, 9), n, np.uint8), metadata=size)
        assert file_contents(path)[0] == ["left", "right"]
        first = read_image(path)
        assert first.shape == (8, 9)
        assert "holds 2 images (0 left, 1 right)" in first.notes[0]
        for scene in ("1", "right"):
            image = read_image(path, scene=scene)
            assert (image.shape, image.spacing, image.notes) == ((9, 9), (2.0, 2.0), ())
        with pytest.raises(InputError, match="no scene 'up', but these: 0 left, 1 right"):
            read_image(path, scene="up")

    def test_of_a_zarr(self, tmp_path):
        path = tmp_path / "a.zarr"
        zarr.open_group(path, mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
        for number in "01":
            ngff(path / number, *["micrometer"] * 3, scale=(1.0, 1.0, 1.0 + int(number)))
        assert len(file_contents(path)[0]) == 2
        assert "2 images" in read_image(path).notes[0]
        assert read_image(path, scene="1").spacing == (1.0, 1.0, 2.0)


class TestSetOfFiles:
    @pytest.fixture
    def folder(self, tmp_path):
        ids = [f"urn:uuid:00000000-0000-4000-8000-00000000000{n}" for n in range(3)]
        planes = "".join(
            f'<TiffData FirstT="{n}" IFD="0" PlaneCount="1">'
            f'<UUID FileName="t{n}.ome.tif">{one}</UUID></TiffData>'
            for n, one in enumerate(ids)
        )
        for n, one in enumerate(ids):
            described = (
                '<?xml version="1.0" encoding="UTF-8"?>'
                '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
                f'UUID="{one}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
                'Type="uint8" SizeX="9" SizeY="8" SizeC="1" SizeZ="1" SizeT="3" '
                f'PhysicalSizeX="0.5">{planes}</Pixels></Image></OME>'
            )
            data = np.full((8, 9), n + 1, np.uint8)
            tifffile.imwrite(tmp_path / f"t{n}.ome.tif", data, description=described, metadata=None)
        return tmp_path

    def test_is_one_image(self, folder):
        assert expand_inputs([folder]) == [folder / "t0.ome.tif"]
        assert expand_inputs([str(folder / "*.tif")]) == [folder / "t0.ome.tif"]
        image = read_image(folder / "t1.ome.tif")
        assert (image.shape, image.spacing) == ((3, 8, 9), (0.5, 0.5))
        assert image.asarray()[:, 0, 0].tolist() == [1, 2, 3]

    def test_with_a_missing_file_is_refused(self, folder):
        (folder / "t1.ome.tif").unlink()
        with pytest.raises(InputError, match=r"t1\.ome\.tif is missing"):
            read_image(folder / "t0.ome.tif")
        with pytest.raises(InputError, match=r"t1\.ome\.tif is missing"):
            file_contents(folder / "t2.ome.tif")

    def test_that_was_renamed_is_itself(self, tmp_path):
        ome(tmp_path / "before.ome.tif", X=0.5).rename(tmp_path / "after.ome.tif")
        assert read_image(tmp_path / "after.ome.tif").shape == STACK.shape


def test_a_plugin_that_fails_does_not_hide_one_that_works(tmp_path, monkeypatch):
    from napari_unetseg.core.io import plugin_readers

    def read(paths, *, stack, plugin_name):
        if plugin_name == "broken":
            raise ImportError("cannot import name 'lazyattr' from 'tifffile'")
        return [(STACK, {"scale": (2.0, 0.5, 0.5), "units": ("nm", "µm", "µm")}, "image")]

    plugins = ["broken", "working"]
    monkeypatch.setattr(plugin_readers, "_plugins_for", lambda path: plugins)
    monkeypatch.setattr("npe2.read", read)
    path = tmp_path / "a.strange"
    path.write_text("x")
    image = read_image(path)
    assert (image.spacing, image.unit) == ((0.002, 0.5, 0.5), "µm")
    plugins.pop()
    with pytest.raises(InputError, match="plugin broken: cannot import name 'lazyattr'"):
        read_image(path)


class Bioio:
    """A file of two scenes, as bioio's `BioImage` gives it."""

    scenes = ("left", "right")
    dims = SimpleNamespace(order="TCZYX")
    physical_pixel_sizes = (1.5, 0.25, 0.25)
    time_interval = timedelta(seconds=4)
    dimension_properties = SimpleNamespace(
        **{axis: SimpleNamespace(unit=None) for axis in "ZYX"},
    )
    channel_names = ("DAPI", "GFP")

    def __init__(self, path):
        if Path(path).read_text() != "x":
            raise ValueError("not enough data")

    def set_scene(self, scene):
        self.at = self.scenes.index(scene)

    def get_image_dask_data(self, order):
        assert order == "TCZYX"
        return dask.array.full((3, 2, 4, 5, 6), self.at, np.uint8)


def test_bioio_keeps_pixel_size_names_and_scenes(tmp_path, monkeypatch):
    from napari_unetseg.core.io import plugin_readers

    monkeypatch.setitem(sys.modules, "bioio", SimpleNamespace(BioImage=Bioio))
    monkeypatch.setattr(plugin_readers, "bioio_knows", lambda path: True)
    monkeypatch.setattr(plugin_readers, "_plugins_for", lambda path: [])
    path = tmp_path / "a.czi"
    path.write_text("x")
    image = read_image(path)
    assert (image.axes, image.spacing, image.unit) == ("TCZYX", (1.5, 0.25, 0.25), "µm")
    assert (image.interval, image.channel_names) == (4.0, ("DAPI", "GFP"))
    assert "left" in image.notes[0]
    assert read_image(path, scene="right").asarray().min() == 1
    path.write_text("half")
    with pytest.raises(InputError, match="cannot be read by bioio: not enough data"):
        read_image(path)


def test_a_plugin_without_a_pixel_size_is_noted(tmp_path, monkeypatch):
    from napari_unetseg.core.io import plugin_readers

    monkeypatch.setattr(plugin_readers, "_plugins_for", lambda path: ["one"])
    monkeypatch.setattr("npe2.read", lambda paths, **how: [(STACK,), (STACK + 1,)])
    path = tmp_path / "a.strange"
    path.write_text(json.dumps({}))
    image = read_image(path)
    assert "2 images" in image.notes[0]
    assert "no pixel size" in image.notes[1]
    assert read_image(path, scene="1").asarray().min() == 1
