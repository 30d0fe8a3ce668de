"""Files: what is written reads back the same, and what cannot be read says so in a sentence."""

import contextlib
import csv
import os

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imageio.v3 import imwrite as write_picture

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import (
    expand_inputs,
    may_be_lazy,
    pair_labels,
    plan_outputs,
    pyramid,
    read_image,
    read_labels,
    stem_of,
    wants_folder,
    write_image,
    write_labels,
    write_table,
    writing,
)
from napari_unetseg.core.io import tiff_files as tiff
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.units import symbol_of

rng = np.random.default_rng(7)


def numbers(shape, dtype):
    return (rng.random(shape) * 200).astype(dtype)


def assert_same(one, other):
    assert one.axes == other.axes
    assert one.dtype == other.dtype
    assert one.rgb == other.rgb
    assert one.unit == other.unit
    assert one.spacing == pytest.approx(other.spacing, rel=1e-11)
    np.testing.assert_array_equal(one.asarray(), other.asarray())


class TestRoundTrip:
    @pytest.mark.parametrize("suffix", [".tif", ".zarr"])
    @pytest.mark.parametrize(
        "dtype", ["bool", "uint8", "uint16", "uint32", "int16", "int64", "float32", "float64"]
    )
    @pytest.mark.parametrize("axes", ["YX", "ZYX", "TCZYX"])
    def test_dtypes_axes_and_calibration(self, tmp_path, suffix, dtype, axes):
        shape = (*range(2, len(axes)), 31, 37)
        spacing = (0.7, 0.325, 0.1625)[-min(len(axes), 3) :]
        image = Image.of(numbers(shape, dtype), axes, spacing=spacing, unit="µm")
        path = tmp_path / f"image{suffix}"
        write_image(path, image)
        assert_same(read_image(path), image)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
    @given(spacing=st.tuples(*[st.floats(1e-3, 1e4)] * 3), unit=st.sampled_from(["nm", "µm", "mm"]))
    def test_any_spacing(self, tmp_path, spacing, unit):
        image = Image.of(np.ones((2, 4, 5), np.uint8), spacing=spacing, unit=unit)
        write_image(tmp_path / "a.tif", image)
        again = read_image(tmp_path / "a.tif")
        assert again.spacing == pytest.approx(spacing, rel=1e-11)
        assert again.unit == unit

    @pytest.mark.parametrize("suffix", [".tif", ".zarr"])
    @pytest.mark.parametrize("unit", ["pixel", "Å", "µm"])
    @pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
    def test_units(self, tmp_path, suffix, unit, dtype):
        image = Image.of(np.ones((4, 5), dtype), spacing=(2, 3), unit=unit)
        write_image(tmp_path / f"a{suffix}", image)
        again = read_image(tmp_path / f"a{suffix}")
        assert (again.unit, again.spacing) == (unit, (2, 3))

    @pytest.mark.parametrize("suffix", [".tif", ".zarr"])
    @pytest.mark.parametrize("dtype", ["uint8", "float32", "int32"])
    def test_names_of_channels(self, tmp_path, suffix, dtype):
        image = Image.of(numbers((2, 3, 8, 9), dtype), "ZCYX", channel_names=("a", "b", "c"))
        write_image(tmp_path / f"a{suffix}", image)
        again = read_image(tmp_path / f"a{suffix}")
        assert again.channel_names == ("a", "b", "c")
        order = "ZCYX" if suffix == ".tif" else "CZYX"
        assert again.axes == order

    @pytest.mark.parametrize("samples", [3, 4])
    @pytest.mark.parametrize("lead", [(), (3,)])
    def test_colour(self, tmp_path, samples, lead):
        image = Image.of(numbers((*lead, 20, 30, samples), np.uint8), unit="µm")
        write_image(tmp_path / "a.tif", image)
        assert_same(read_image(tmp_path / "a.tif"), image)
        write_image(tmp_path / "a.zarr", image)
        again = read_image(tmp_path / "a.zarr")
        assert again.rgb
        np.testing.assert_array_equal(again.grey().asarray(), image.grey().data)

    def test_colour_of_sixteen_bits_and_channels_anywhere(self, tmp_path):
        deep = Image.of(numbers((20, 30, 3), np.uint16), "YXC", rgb=True)
        write_image(tmp_path / "a.tif", deep)
        assert_same(read_image(tmp_path / "a.tif"), deep)
        last = Image.of(numbers((20, 30, 5), np.float32), "YXC")
        write_image(tmp_path / "b.tif", last)
        again = read_image(tmp_path / "b.tif")
        assert again.axes == "CYX"
        np.testing.assert_array_equal(again.data, np.moveaxis(last.data, -1, 0))

    @pytest.mark.parametrize("suffix", [".tif", ".zarr"])
    @pytest.mark.parametrize("dtype", ["uint8", "float32", "int32", "int64"])
    def test_lazy_images(self, tmp_path, suffix, dtype):
        data = numbers((3, 300, 400), dtype)
        image = Image.of(da.from_array(data, chunks=(2, 128, 128)), spacing=(2, 1, 1), unit="µm")
        write_image(tmp_path / f"a{suffix}", image)
        assert_same(read_image(tmp_path / f"a{suffix}"), image)

    def test_lazy_colour(self, tmp_path):
        data = numbers((2, 20, 30, 3), np.uint8)
        write_image(tmp_path / "a.tif", Image.of(da.from_array(data, chunks=2), "ZYXC", rgb=True))
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data, data)

    @pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
    def test_png(self, tmp_path, dtype):
        image = Image.of(numbers((20, 30), dtype))
        write_image(tmp_path / "a.png", image)
        again = read_image(tmp_path / "a.png")
        np.testing.assert_array_equal(again.data > 0, image.data > 0)
        if dtype is not bool:
            assert_same(again, image)

    def test_an_image_larger_than_the_limit_is_read_lazily(self, tmp_path, monkeypatch):
        image = Image.of(numbers((3, 64, 64), np.uint16), spacing=(2, 1, 1), unit="µm")
        write_image(tmp_path / "a.tif", image)
        np.save(tmp_path / "a.npy", image.data)
        monkeypatch.setattr(tiff, "LAZY_ABOVE", 1000)
        for name in ("a.tif", "a.npy"):
            again = read_image(tmp_path / name)
            assert again.lazy
            np.testing.assert_array_equal(again.asarray(), image.data)

    def test_too_large_for_imagej_is_written_as_ome(self, tmp_path, monkeypatch):
        monkeypatch.setattr(tiff, "_IMAGEJ_BELOW", 1000)
        image = Image.of(numbers((3, 64, 64), np.uint16), spacing=(2, 1, 1), unit="µm")
        write_image(tmp_path / "a.tif", image)
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            assert file.is_ome
            assert file.is_bigtiff
        assert_same(read_image(tmp_path / "a.tif"), image)


class TestLabels:
    @pytest.mark.parametrize("suffix", [".tif", ".zarr"])
    @pytest.mark.parametrize(
        ("largest", "dtype"), [(0, "u1"), (255, "u1"), (256, "u2"), (65535, "u2"), (65536, "u4")]
    )
    @pytest.mark.parametrize("lazy", [False, True])
    def test_take_the_smallest_unsigned_integers(self, tmp_path, suffix, largest, dtype, lazy):
        ids = np.zeros((40, 50), np.int64)
        ids[3, 4] = largest
        data = da.from_array(ids, chunks=16) if lazy else ids
        write_labels(tmp_path / f"a{suffix}", Image.of(data, spacing=(0.5, 0.5), unit="µm"))
        again = read_labels(tmp_path / f"a{suffix}")
        assert again.dtype == np.dtype(dtype)
        assert (again.spacing, again.unit) == ((0.5, 0.5), "µm")
        np.testing.assert_array_equal(again.asarray(), ids)

    def test_are_compressed(self, tmp_path):
        write_labels(tmp_path / "a.tif", Image.of(np.zeros((512, 512), np.uint16)))
        assert os.path.getsize(tmp_path / "a.tif") < 10_000

    def test_masks_are_zero_and_one(self, tmp_path):
        mask = rng.random((20, 30)) > 0.5
        write_labels(tmp_path / "a.tif", Image.of(mask))
        np.testing.assert_array_equal(read_labels(tmp_path / "a.tif").data, mask.astype(np.uint8))

    def test_in_a_pyramid_are_never_averaged(self, tmp_path):
        ids = rng.integers(0, 2, (600, 700)) * 90
        write_labels(tmp_path / "a.zarr", Image.of(ids))
        group = zarr.open_group(tmp_path / "a.zarr", mode="r")
        levels = group.attrs["multiscales"][0]["datasets"]
        assert len(levels) == 3
        assert set(np.unique(group[levels[-1]["path"]][:])) == {0, 90}
        assert "image-label" in group.attrs

    @pytest.mark.parametrize("values", [[-1, 0], [0, 2**32]])
    def test_out_of_range_are_refused(self, tmp_path, values):
        with pytest.raises(InputError, match="Renumber"):
            write_labels(tmp_path / "a.tif", Image.of(np.array([values])))
        assert not list(tmp_path.iterdir())

    def test_are_whole_numbers(self, tmp_path):
        write_image(tmp_path / "a.tif", Image.of(np.full((4, 5), 0.5, np.float32)))
        with pytest.raises(InputError, match=r"a\.tif holds fractions"):
            read_labels(tmp_path / "a.tif")
        with pytest.raises(InputError, match="whole numbers"):
            write_labels(tmp_path / "b.tif", Image.of(np.ones((4, 5))))
        write_image(tmp_path / "c.tif", Image.of(np.eye(9, 27, dtype=np.uint8).reshape(9, 9, 3)))
        with pytest.raises(InputError, match="colours"):
            read_labels(tmp_path / "c.tif")


class TestZarr:
    def test_a_pyramid_of_an_image_is_averaged_and_placed(self, tmp_path):
        image = Image.of(numbers((2, 1100, 700), np.float32), spacing=(2, 0.5, 0.5), unit="µm")
        write_image(tmp_path / "a.zarr", image)
        group = zarr.open_group(tmp_path / "a.zarr", mode="r")
        described = group.attrs["multiscales"][0]
        assert described["version"] == "0.4"
        assert [axis["unit"] for axis in described["axes"]] == ["micrometer"] * 3
        second = described["datasets"][1]
        assert second["coordinateTransformations"][0]["scale"] == [2, 1, 1]
        blocks = image.data.reshape(2, 550, 2, 350, 2).mean(axis=(2, 4))
        np.testing.assert_allclose(group[second["path"]][:], blocks, rtol=1e-5)

    def test_a_coarser_level_keeps_its_size_in_the_world(self, tmp_path):
        image = Image.of(numbers((1100, 700), np.uint16), spacing=(0.5, 0.25), unit="µm")
        write_image(tmp_path / "a.zarr", image)
        coarse = read_image(tmp_path / "a.zarr", level=2)
        assert (coarse.shape, coarse.spacing, coarse.unit) == ((275, 175), (2.0, 1.0), "µm")
        with pytest.raises(InputError, match=r"a\.zarr: there is no level 4: it has the levels"):
            read_image(tmp_path / "a.zarr", level=4)
        write_image(tmp_path / "a.tif", image)
        with pytest.raises(InputError, match="no level 1: it has one resolution"):
            read_image(tmp_path / "a.tif", level=1)

    def test_pixels_of_a_coarser_level_are_where_those_they_stand_for_are(self, tmp_path):
        write_image(tmp_path / "a.zarr", Image.of(numbers((600, 300), np.uint16), spacing=(2, 1)))
        write_labels(tmp_path / "b.zarr", Image.of(numbers((600, 300), np.uint16), spacing=(2, 1)))
        for name, shift in (("a", [{"type": "translation", "translation": [3.0, 1.5]}]), ("b", [])):
            group = zarr.open_group(tmp_path / f"{name}.zarr", mode="r")
            third = group.attrs["multiscales"][0]["datasets"][2]
            assert third["coordinateTransformations"] == [scale(8, 4), *shift]

    def test_levels_have_no_seams(self, tmp_path, monkeypatch):
        data = numbers((1301, 1203), np.uint16)
        write_image(tmp_path / "a.zarr", Image.of(data))
        write_labels(tmp_path / "b.zarr", Image.of(data))
        monkeypatch.setitem(pyramid._PART, False, 1)
        write_image(tmp_path / "c.zarr", Image.of(data))
        for level in range(4):
            means = read_image(tmp_path / "a.zarr", level=level).asarray()
            picked = read_image(tmp_path / "b.zarr", level=level).asarray()
            np.testing.assert_array_equal(picked, data[:: 2**level, :: 2**level])
            by_parts = read_image(tmp_path / "c.zarr", level=level).asarray()
            np.testing.assert_array_equal(means, by_parts)

    @pytest.mark.parametrize("version", [2, 3])
    def test_other_programs_files(self, tmp_path, version):
        group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
        data = numbers((1, 2, 1, 20, 30), np.uint16)
        group.create_array("0", data=data)
        space = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
        multiscale = {
            "axes": [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *space],
            "datasets": [{"path": "0", "coordinateTransformations": [scale(1, 1, 3, 0.5, 0.5)]}],
            "coordinateTransformations": [scale(1, 1, 1, 2, 2)],
        }
        inside = {"multiscales": [multiscale]}
        group.attrs.update(inside if version == 2 else {"ome": {"version": "0.5", **inside}})
        image = read_image(tmp_path / "a.zarr")
        assert (image.axes, image.spacing, image.unit) == ("TCZYX", (3, 1, 1), "µm")
        np.testing.assert_array_equal(image.asarray(), data)

    def test_a_plain_array_and_an_image_one_level_down(self, tmp_path):
        data = numbers((20, 30), np.uint16)
        zarr.create_array(tmp_path / "plain.zarr", data=data)
        np.testing.assert_array_equal(read_image(tmp_path / "plain.zarr").asarray(), data)
        zarr.open_group(tmp_path / "outer.zarr", mode="w", zarr_format=2)
        write_image(tmp_path / "outer.zarr" / "0.zarr", Image.of(data))
        os.rename(tmp_path / "outer.zarr" / "0.zarr", tmp_path / "outer.zarr" / "0")
        np.testing.assert_array_equal(read_image(tmp_path / "outer.zarr").asarray(), data)

    def test_a_group_without_an_image_is_refused(self, tmp_path):
        zarr.open_group(tmp_path / "a.zarr", mode="w")
        with pytest.raises(InputError, match="no OME-Zarr image"):
            read_image(tmp_path / "a.zarr")

    def test_opens_in_the_reference_implementation(self, tmp_path):
        from ome_zarr import OMEZarrMultiscale

        image = Image.of(numbers((2, 300, 300), np.uint16), spacing=(2, 0.5, 0.5), unit="µm")
        write_image(tmp_path / "a.zarr", image)
        first = OMEZarrMultiscale.from_ome_zarr(str(tmp_path / "a.zarr")).images[0]
        assert first.scale == {"z": 2, "y": 0.5, "x": 0.5}
        np.testing.assert_array_equal(first.data.compute(), image.data)


def scale(*steps):
    return {"type": "scale", "scale": list(steps)}


class TestOtherProgramsTiffs:
    def test_imagej_shows_the_scale(self, tmp_path):
        image = Image.of(numbers((3, 8, 9), np.uint16), spacing=(2, 0.325, 0.325), unit="µm")
        write_image(tmp_path / "a.tif", image)
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            assert file.imagej_metadata["unit"] == "micron"
            assert file.imagej_metadata["spacing"] == 2
            pixels, length = file.pages[0].tags["XResolution"].value
            assert length / pixels == pytest.approx(0.325)

    @pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd", "packbits"])
    @pytest.mark.parametrize("tile", [None, (16, 16)])
    def test_compressions_and_tiles(self, tmp_path, compression, tile):
        data = numbers((40, 50), np.uint16)
        tifffile.imwrite(tmp_path / "a.tif", data, compression=compression, tile=tile)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data, data)

    @pytest.mark.parametrize(("shape", "axes"), [((6, 20, 30), "ZYX"), ((2, 6, 20, 30), "TZYX")])
    def test_pages_of_unknown_meaning_are_depth_then_time(self, tmp_path, shape, axes):
        tifffile.imwrite(tmp_path / "a.tif", numbers(shape, np.uint16), photometric="minisblack")
        assert read_image(tmp_path / "a.tif").axes == axes
        assert read_image(tmp_path / "a.tif", axes.replace("Z", "C")).axes == axes.replace("Z", "C")

    def test_colour_in_planes(self, tmp_path):
        data = numbers((3, 20, 30), np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", planarconfig="separate")
        image = read_image(tmp_path / "a.tif")
        assert (image.axes, image.rgb) == ("CYX", True)

    @pytest.mark.parametrize(
        ("unit", "per", "step"),
        [
            ("CENTIMETER", 20000, 0.5),
            ("INCH", 50800, 0.5),
            ("INCH", 508, 50.0),
            ("INCH", 72, None),
            ("INCH", 300, None),
            ("CENTIMETER", 118.11, None),
        ],
    )
    def test_a_resolution_is_a_scale_unless_it_is_for_print(self, tmp_path, unit, per, step):
        data, path = numbers((4, 5), np.uint8), tmp_path / "a.tif"
        tifffile.imwrite(path, data, resolution=(per, per), resolutionunit=unit)
        image = read_image(path)
        if step is None:
            assert not image.calibrated
            assert "for print" in image.notes[0]
        else:
            assert (image.spacing, image.unit, image.notes) == ((step, step), "µm", ())

    def test_ome_units(self, tmp_path):
        metadata = {"axes": "ZYX", "PhysicalSizeX": 80, "PhysicalSizeXUnit": "nm"}
        metadata |= {"PhysicalSizeY": 80, "PhysicalSizeYUnit": "nm"}
        data = numbers((2, 4, 5), np.uint8)
        tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata=metadata)
        image = read_image(tmp_path / "a.ome.tif")
        assert (image.spacing, image.unit) == ((80, 80, 80), "nm")


class TestPictures:
    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
    def test_grey_and_colour(self, tmp_path, suffix):
        for shape, axes in (((20, 30), "YX"), ((20, 30, 3), "YXC")):
            write_picture(tmp_path / f"a{suffix}", np.full(shape, 90, np.uint8))
            image = read_image(tmp_path / f"a{suffix}")
            assert (image.axes, image.rgb) == (axes, len(shape) == 3)
            assert abs(int(image.asarray().mean()) - 90) <= 1


def test_what_stays_on_disk_is_told_by_the_header(tmp_path, monkeypatch):
    image = Image.of(np.zeros((40, 50), np.uint8))
    for name in ("a.tif", "b.zarr", "c.png"):
        write_image(tmp_path / name, image)
    np.save(tmp_path / "d.npy", image.data)
    (tmp_path / "bad.tif").write_bytes(b"no image")
    assert [p.name for p in sorted(tmp_path.iterdir()) if may_be_lazy(p)] == ["b.zarr"]
    monkeypatch.setattr(tiff, "LAZY_ABOVE", 1500)
    lazy = {p.name for p in tmp_path.iterdir() if may_be_lazy(p)}
    assert lazy == {"a.tif", "b.zarr", "d.npy"}
    assert not may_be_lazy(tmp_path / "none.tif")
    assert all(read_image(tmp_path / name).lazy for name in lazy)


class TestPlugins:
    @pytest.fixture
    def reads(self, tmp_path):
        """Install a napari plugin that gives these layers for ``*.odd`` files."""
        from npe2 import DynamicPlugin

        with contextlib.ExitStack() as stack:

            def install(*layers):
                plugin = stack.enter_context(DynamicPlugin("odd-reader"))

                @plugin.contribute.reader(filename_patterns=["*.ODD"])
                def accept(path):
                    return lambda path: list(layers)

                (tmp_path / "a.ODD").write_text("x")
                return tmp_path / "a.ODD"

            yield install

    def test_calibration_is_kept(self, reads):
        said = {"scale": (2, 1, 0.5), "units": "micrometer"}
        image = read_image(reads((np.ones((4, 5, 6)), said, "image")))
        assert (image.axes, image.spacing, image.unit) == ("ZYX", (2, 1, 0.5), "µm")

    def test_a_channel_axis_with_names_and_axes_of_one(self, reads):
        data = numbers((1, 1, 2, 5, 6), np.uint16)
        said = {"channel_axis": 2, "scale": (1, 3, 0.5, 0.5), "name": ["DAPI", "GFP"], "rgb": False}
        image = read_image(reads((data, said, "image")))
        assert (image.axes, image.channel_names) == ("CYX", ("DAPI", "GFP"))
        assert image.spacing == (0.5, 0.5)
        np.testing.assert_array_equal(image.data, data[0, 0])

    def test_all_five_axes_of_which_most_are_one(self, reads):
        data = numbers((1, 1, 1, 5, 6), np.uint16)
        image = read_image(reads((data, {"scale": (1, 1, 2, 0.5, 0.4)}, "image")))
        assert (image.axes, image.spacing) == ("YX", (0.5, 0.4))

    def test_axes_as_the_plugin_names_them(self, reads):
        data = numbers((3, 4, 5), np.uint16)
        image = read_image(reads((data, {"axis_labels": ("t", "y", "x")}, "image")))
        assert image.axes == "TYX"

    def test_axes_that_are_said_overrule_all(self, reads):
        path = reads((numbers((3, 1, 5), np.uint16), {"axis_labels": ("t", "y", "x")}, "image"))
        assert read_image(path, "CYX").axes == "CYX"

    @pytest.mark.parametrize("lazy", [False, True])
    def test_a_layer_for_each_channel_is_one_image(self, reads, lazy):
        import dask.array

        both = numbers((2, 3, 5, 6), np.uint16)
        said = {"blending": "additive", "scale": (2, 1, 1)}
        layers = [
            (dask.array.from_array(one) if lazy else one, {**said, "name": name}, "image")
            for one, name in zip(both, ("DAPI", "GFP"), strict=True)
        ]
        image = read_image(reads(*layers))
        assert (image.axes, image.channel_names) == ("CZYX", ("DAPI", "GFP"))
        assert (image.spacing, image.lazy) == ((2, 1, 1), lazy)
        np.testing.assert_array_equal(image.asarray(), both)

    def test_of_several_scenes_the_first_is_taken(self, reads):
        scenes = [(np.full((4, 5), n, np.uint8), {"name": f"scene {n}"}, "image") for n in (1, 2)]
        image = read_image(reads((np.ones((2, 2)), {}, "points"), *scenes))
        assert image.axes == "YX"
        assert image.data.max() == 1

    def test_without_an_image_it_is_said_so(self, reads):
        with pytest.raises(InputError, match="gives no image"):
            read_image(reads((np.ones((2, 2)), {}, "points")))

    def test_a_folder_of_such_files_is_found(self, reads, tmp_path):
        path = reads((np.ones((4, 5)), {}, "image"))
        (tmp_path / "notes.txt").write_text("x")
        assert expand_inputs([tmp_path]) == [path]
        write_image(tmp_path / "b.tif", Image.of(np.ones((4, 5), np.uint8)))
        assert expand_inputs([tmp_path]) == [tmp_path / "b.tif"]


class TestBadFiles:
    @pytest.fixture
    def bad(self, tmp_path):
        def make(name, content):
            path = tmp_path / name
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                np.save(path, content, allow_pickle=True)
            return path

        return make

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("empty.tif", b"", "empty"),
            ("text.tif", b"hello, this is no image", "cannot be read"),
            ("text.png", b"hello, this is no image", "cannot be read"),
            ("text.npy", b"hello, this is no image", "cannot be read|pickled"),
            ("text.xyz", b"hello, this is no image", "no reader"),
            ("objects.npy", np.array([[None, {}]], dtype=object), "pickled"),
            ("complex.npy", np.ones((4, 5), complex), "complex"),
            ("point.npy", np.float64(3), "at least two axes"),
            ("none.npy", np.ones((0, 5)), "empty"),
        ],
    )
    def test_say_what_is_wrong_and_where(self, bad, name, content, words):
        path = bad(name, content)
        with pytest.raises(InputError, match=words) as caught:
            read_image(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
    @pytest.mark.parametrize("labels", [False, True])
    @pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.97])
    def test_cut_short_is_never_read_as_zeros(self, tmp_path, dtype, labels, kept):
        path = tmp_path / "a.tif"
        image = Image.of(rng.integers(1, 200, (6, 64, 64)).astype(dtype))
        (write_labels if labels else write_image)(path, image)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
        with pytest.raises(InputError, match=r"a\.tif"):
            read_image(path)

    def test_a_picture_cut_short(self, tmp_path):
        path = tmp_path / "a.png"
        write_picture(path, numbers((64, 64), np.uint8))
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(InputError, match=r"a\.png cannot be read"):
            read_image(path)

    def test_missing_and_folder(self, tmp_path):
        with pytest.raises(InputError, match="no file"):
            read_image(tmp_path / "missing.tif")
        with pytest.raises(InputError, match="folder, not an image"):
            read_image(tmp_path)


class TestWriting:
    def test_replaces_in_one_step(self, tmp_path):
        path = tmp_path / "deep" / "a.txt"
        for text in ("one", "two"):
            with writing(path) as draft:
                draft.write_text(text)
        assert path.read_text() == "two"
        assert os.listdir(path.parent) == ["a.txt"]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, Cancelled, RuntimeError])
    def test_leaves_everything_as_it_was_when_stopped(self, tmp_path, error):
        path = tmp_path / "a.txt"
        path.write_text("old")

        def stop_halfway():
            with writing(path) as draft:
                draft.write_text("half")
                raise error

        with pytest.raises(error):
            stop_halfway()
        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["a.txt"]

    def test_replaces_a_folder(self, tmp_path):
        for value in (1, 2):
            write_image(tmp_path / "a.zarr", Image.of(np.full((4, 5), value, np.uint8)))
        assert read_image(tmp_path / "a.zarr").asarray().max() == 2
        assert os.listdir(tmp_path) == ["a.zarr"]

    @pytest.mark.parametrize("suffix", [".tif", ".zarr"])
    def test_can_be_cancelled(self, tmp_path, suffix):
        def stop(fraction, message=""):
            raise Cancelled

        image = Image.of(da.ones((4, 600, 600), chunks=(1, 300, 300)))
        with pytest.raises(Cancelled):
            write_image(tmp_path / f"a{suffix}", image, progress=stop)
        assert not list(tmp_path.iterdir())

    def test_says_where_it_cannot(self, tmp_path):
        (tmp_path / "file").write_text("x")
        with pytest.raises(InputError, match=r"cannot be written|Nothing can be written"):
            write_image(tmp_path / "file" / "a.tif", Image.of(np.ones((4, 5))))
        with pytest.raises(InputError, match="must end in"):
            write_image(tmp_path / "a.jpg", Image.of(np.ones((4, 5))))
        with pytest.raises(InputError, match=r"\.png holds one plane"):
            write_image(tmp_path / "a.png", Image.of(np.ones((4, 5))))

    def test_tables_read_back(self, tmp_path):
        columns = {"label": np.array([1, 2]), "area": np.array([0.1, 1 / 3]), "unit": ["µm", "µm"]}
        write_table(tmp_path / "a.csv", columns)
        with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["area"]) for row in rows] == [0.1, 1 / 3]
        assert rows[1] == {"label": "2", "area": str(1 / 3), "unit": "µm"}
        with pytest.raises(InputError, match=r"\.csv"):
            write_table(tmp_path / "a.txt", columns)

    def test_a_file_never_takes_the_place_of_a_folder(self, tmp_path):
        folder = tmp_path / "results"
        folder.mkdir()
        (folder / "precious.txt").write_text("kept")
        words = "results cannot be written: there is a folder"
        with pytest.raises(InputError, match=words), writing(folder) as draft:
            draft.write_text("table")
        assert (folder / "precious.txt").read_text() == "kept"
        assert os.listdir(tmp_path) == ["results"]


class TestPaths:
    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("b.tif", "a.PNG", "c.ome.tif", "notes.txt", ".hidden.tif"):
            (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "in" / name).write_text("x")
        (tmp_path / "in" / "d.zarr").mkdir()
        (tmp_path / "empty").mkdir()
        return tmp_path

    def names(self, paths):
        return [path.name for path in paths]

    def test_folders_globs_and_files(self, folder):
        everything = ["a.PNG", "b.tif", "c.ome.tif", "d.zarr"]
        assert self.names(expand_inputs([folder / "in"])) == everything
        assert self.names(expand_inputs([folder / "in" / "*.tif"])) == ["b.tif", "c.ome.tif"]
        assert self.names(expand_inputs([folder / "in" / "notes.txt"])) == ["notes.txt"]
        both = expand_inputs([folder / "in", folder / "in" / "b.tif", folder / "*" / "?.tif"])
        assert self.names(both) == everything

    @pytest.mark.parametrize(
        ("pattern", "words"),
        [("empty", "no image"), ("in/*.xyz", "No file matches"), ("gone.tif", "There is no file")],
    )
    def test_nothing_found_is_said(self, folder, pattern, words):
        with pytest.raises(InputError, match=words):
            expand_inputs([folder / pattern])

    def test_a_name_with_brackets_is_a_name(self, tmp_path):
        path = tmp_path / "cell[1].tif"
        path.write_text("x")
        assert expand_inputs([path]) == [path]
        assert not wants_folder([path])

    def test_one_file_to_a_file_and_several_to_a_folder(self, folder):
        one = folder / "in" / "b.tif"
        assert not wants_folder([one])
        assert plan_outputs([one], folder / "x.tif", folder=False) == [folder / "x.tif"]
        assert plan_outputs([one], folder, folder=False) == [folder / "b.tif"]
        for patterns in ([folder / "in"], [folder / "in" / "*.tif"], [one, one]):
            assert wants_folder(patterns)
        inputs = expand_inputs([folder / "in"])
        assert self.names(plan_outputs(inputs, folder / "out", folder=True)) == [
            "a.tif",
            "b.tif",
            "c.tif",
            "d.tif",
        ]

    def test_outputs_that_would_destroy_something_are_refused(self, folder):
        inputs = expand_inputs([folder / "in"])
        with pytest.raises(InputError, match="one of the files to read"):
            plan_outputs(inputs, folder / "in", folder=True)
        with pytest.raises(InputError, match="one of the files to read"):
            plan_outputs([inputs[1]], inputs[1], folder=False)
        (folder / "in" / "b.png").write_text("x")
        with pytest.raises(InputError, match=r"would both become b\.tif"):
            plan_outputs(expand_inputs([folder / "in"]), folder / "out", folder=True)

    @pytest.mark.parametrize("out", ["x.tif", "in/b.tif"])
    def test_several_do_not_fit_a_file(self, folder, out):
        with pytest.raises(InputError, match="folder"):
            plan_outputs(expand_inputs([folder / "in"]), folder / out, folder=True)

    def test_one_needs_a_known_ending(self, folder):
        with pytest.raises(InputError, match="must end in"):
            plan_outputs([folder / "in" / "b.tif"], folder / "x.jpg", folder=False)

    def test_labels_pair_by_stem(self, folder):
        inputs = [folder / "in" / "b.tif", folder / "in" / "c.ome.tif"]
        labels = folder / "labels"
        labels.mkdir()
        for name in ("b.png", "c.tif"):
            (labels / name).write_text("x")
        assert self.names(pair_labels(inputs, labels)) == ["b.png", "c.tif"]
        assert pair_labels(inputs, labels / "b.png") == [labels / "b.png"] * 2
        with pytest.raises(InputError, match=r"a\.PNG needs one"):
            pair_labels([folder / "in" / "a.PNG"], labels)
        with pytest.raises(InputError, match="There is no"):
            pair_labels(inputs, folder / "gone")


@pytest.mark.parametrize(
    ("name", "stem"), [("a.ome.tif", "a"), ("a.b.tif", "a.b"), ("a.OME.zarr", "a"), ("a", "a")]
)
def test_stems(name, stem):
    assert stem_of(name) == stem


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("micron", "µm"),
        ("Micrometer", "µm"),
        ("\\u00B5m", "µm"),
        ("μm", "µm"),
        ("parsec", "parsec"),
    ],
)
def test_units_have_one_symbol(name, symbol):
    assert symbol_of(name) == symbol


def test_a_cell_is_never_a_formula(tmp_path):
    names = ["=1+1", "+a", "-b", "@c", "\tx", "plain", "-3.5"]
    numbers = np.array([-1.5, 2, np.nan, 0, 1, 2, -7])
    write_table(tmp_path / "a.csv", {"=head": names, "value": numbers})
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["'=head", "value"]
    assert [row[0] for row in rows] == ["'=1+1", "'+a", "'-b", "'@c", "'\tx", "plain", "'-3.5"]
    assert [row[1] for row in rows] == ["-1.5", "2.0", "", "0.0", "1.0", "2.0", "-7.0"]


def test_a_table_with_tabs(tmp_path):
    write_table(tmp_path / "a.tsv", {"image": ["a, b"], "n": [1]})
    assert (tmp_path / "a.tsv").read_bytes() == b"image\tn\r\na, b\t1\r\n"
