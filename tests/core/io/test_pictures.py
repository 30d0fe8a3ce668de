"""Pictures keep their numbers, and are labels where that is meant."""

import struct
import zlib

import imagecodecs
import numpy as np
import PIL.Image
import pytest
import tifffile

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, read_labels, write_image

RNG = np.random.default_rng(5)
CLASSES = np.kron(RNG.integers(0, 4, (6, 7)), np.ones((4, 4), int)).astype(np.uint8)


@pytest.mark.parametrize(("samples", "kept"), [(2, 1), (3, 3), (4, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_keeps_its_depth_and_leaves_alpha_out(tmp_path, samples, kept, dtype):
    data = RNG.integers(0, np.iinfo(dtype).max, (20, 24, samples), dtype)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(data))
    image = read_image(tmp_path / "a.png")
    assert (image.dtype, image.n_channels, image.rgb) == (dtype, kept, kept == 3)
    assert np.array_equal(image.asarray().reshape(20, 24, kept), data[..., :kept])


def chunk(name, content):
    """Return a chunk of a PNG: its length, name, content and checksum."""
    checked = name + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


@pytest.mark.parametrize("bits", [2, 4])
def test_png_of_few_bits_keeps_class_numbers(tmp_path, bits):
    each = CLASSES.reshape(len(CLASSES), -1, 8 // bits).astype(np.uint8)
    places = np.arange(8 // bits)[::-1] * bits
    rows = np.bitwise_or.reduce(each << places.astype(np.uint8), -1).astype(np.uint8)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", CLASSES.shape[1], len(CLASSES), bits, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
    (tmp_path / "g.png").write_bytes(png)
    for read in (read_image, read_labels):
        assert np.array_equal(read(tmp_path / "g.png").asarray(), CLASSES)


def test_palette_gives_indices_to_labels_and_colours_to_images(tmp_path):
    picture = PIL.Image.fromarray(CLASSES)
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 90, 0, 10, 20, 250])
    picture.save(tmp_path / "p.png")
    assert np.array_equal(read_labels(tmp_path / "p.png").asarray(), CLASSES)
    assert read_image(tmp_path / "p.png").rgb


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_masks_of_any_grey_mode_are_labels(tmp_path, mode):
    mask = np.where(CLASSES > 1, 255, 0).astype(np.uint8)
    PIL.Image.fromarray(mask).convert(mode).save(tmp_path / "m.png")
    assert np.array_equal(read_labels(tmp_path / "m.png").asarray(), mask)


def test_jpeg_mask_is_taken_at_half_and_noted(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[11:40, 21:47] = 255
    for name, quality in (("a.jpg", 75), ("b.jpeg", 97), ("really.png", 75)):
        PIL.Image.fromarray(mask).save(tmp_path / name, "JPEG", quality=quality)
        said = []
        found = read_labels(tmp_path / name, note=said.append).asarray()
        assert np.array_equal(found, mask // 255)
        assert len(said) == 1
        assert f"{name} has soft edges" in said[0]
    PIL.Image.fromarray(CLASSES * 9).save(tmp_path / "ids.jpg")
    with pytest.raises(InputError, match=r"ids\.jpg is a JPEG"):
        read_labels(tmp_path / "ids.jpg")


def test_content_goes_before_the_suffix(tmp_path):
    PIL.Image.fromarray(CLASSES).save(tmp_path / "png.tif", "PNG")
    tifffile.imwrite(tmp_path / "tiff.png.tif", CLASSES)
    (tmp_path / "tiff.png.tif").rename(tmp_path / "tiff.png")
    for name in ("png.tif", "tiff.png"):
        assert np.array_equal(read_image(tmp_path / name).asarray(), CLASSES)


def test_labels_lose_axes_of_length_1(tmp_path):
    five = CLASSES[None, None, None].astype(np.uint16)
    write_image(tmp_path / "five.zarr", Image(five, "TCZYX", (2.0, 0.5, 0.5), "µm"))
    tifffile.imwrite(
        tmp_path / "cyx.tif", CLASSES[None], photometric="minisblack", metadata={"axes": "CYX"}
    )
    for name in ("five.zarr", "cyx.tif"):
        labels = read_labels(tmp_path / name)
        assert labels.axes == "YX"
        assert np.array_equal(labels.asarray(), CLASSES)


def test_alpha_is_no_channel_of_a_colour_image():
    data = RNG.integers(0, 255, (9, 9, 4), np.uint8)
    assert np.array_equal(Image.of(data).asarray(), data[..., :3])
    assert np.array_equal(Image(data, "YXC", rgb=True).asarray(), data[..., :3])
    assert Image.of(data, "YXC").n_channels == 4
