"""Outlines: they hold exactly their object, and come back from the files others read."""

import json
import zipfile

import numpy as np
import pytest
import roifile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import polygon2mask

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import write_geojson, write_rois
from napari_unetseg.core.measure import measure
from napari_unetseg.core.objects.outlines import outlines, signed_area


def filled(polygons, shape):
    """Return the pixels whose centre is in the polygons, by counting sides to the right."""
    out = np.zeros(shape, bool)
    y, x = np.indices(shape) + 0.5
    for polygon in polygons:
        for ring in polygon:
            for (ax, ay), (bx, by) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                if ax == bx:
                    out ^= (ax > x) & (min(ay, by) < y) & (y < max(ay, by))
    return out


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2))
)
@settings(max_examples=60)
def test_rasterised_outlines_are_the_labels(labels):
    found = {one.label: one for one in outlines(Image.of(labels, "YX"))}
    assert sorted(found) == sorted(set(np.unique(labels)) - {0})
    for label, one in found.items():
        mask = labels == label
        assert np.array_equal(filled(one.polygons, labels.shape), mask)
        assert one.area == np.count_nonzero(mask)
        for around, *holes in one.polygons:
            assert signed_area(around) > 0
            assert all(signed_area(hole) < 0 for hole in holes)


RANDOM_LABELS = arrays(
    np.uint8, st.tuples(st.integers(3, 12), st.integers(3, 12)), elements=st.integers(0, 2)
)


@given(RANDOM_LABELS)
@settings(max_examples=60)
def test_no_ring_meets_itself(labels):
    for one in outlines(Image.of(labels, "YX")):
        for polygon in one.polygons:
            for ring in polygon:
                assert len(np.unique(ring, axis=0)) == len(ring)


def test_a_hole_that_meets_the_outside_at_a_corner_is_a_ring_of_its_own():
    labels = np.zeros((5, 5), np.int32)
    labels[1:4, 1:4] = 1
    labels[2, 2] = labels[1, 1] = 0
    (one,) = outlines(Image.of(labels, "YX"))
    ((around, hole),) = one.polygons
    assert (signed_area(around), signed_area(hole)) == (8, -1)


@given(RANDOM_LABELS)
@settings(max_examples=60)
def test_geojson_is_valid_by_the_rules_of_its_readers(tmp_path_factory, labels):
    geometry = pytest.importorskip("shapely.geometry")
    path = tmp_path_factory.mktemp("geojson") / "a.geojson"
    write_geojson(path, outlines(Image.of(labels, "YX")))
    for feature in json.loads(path.read_text())["features"]:
        shape = geometry.shape(feature["geometry"])
        assert shape.is_valid
        assert shape.area == np.count_nonzero(labels == feature["properties"]["label"])


@given(RANDOM_LABELS.filter(lambda labels: labels.any()))
@settings(max_examples=60)
def test_rois_are_read_as_the_same_pixels(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("rois") / "a.zip"
    write_rois(path, outlines(Image.of(labels, "YX")))
    rois = roifile.roiread(path)
    for roi in rois if isinstance(rois, list) else [rois]:
        rings = [np.asarray(ring) for ring in rings_of(roi)]
        rings = [ring[:-1] if (ring[0] == ring[-1]).all() else ring for ring in rings]
        assert np.array_equal(filled([rings], labels.shape), labels == int(roi.name))


def scene():
    labels = np.zeros((40, 50), np.int32)
    labels[3:20, 4:30], labels[6:17, 7:27], labels[10:13, 10:20] = 5, 0, 5  # an island in a hole
    labels[25:35, 5:15] = 6
    labels[29, 9] = 0
    labels[30, 20], labels[31, 21] = 7, 7  # meet at a corner
    labels[36:39, 40:48] = 300
    return labels


def rings_of(roi):
    if roi.multi_coordinates is not None:
        return roi.path2coords(roi.multi_coordinates)
    assert roi.roitype == roifile.ROI_TYPE.TRACED
    return [roi.coordinates()]


def test_rois_come_back_from_the_zip(tmp_path):
    labels = scene()
    write_rois(tmp_path / "a.zip", outlines(Image.of(labels)))
    rois = {int(roi.name): roi for roi in roifile.roiread(tmp_path / "a.zip")}
    assert sorted(rois) == [5, 6, 7, 300]
    for label, roi in rois.items():
        mask = labels == label
        found = np.zeros(labels.shape, bool)
        for ring in rings_of(roi):
            ring = np.asarray(ring)
            found ^= polygon2mask(labels.shape, ring[:, ::-1] - 0.5)
        both = np.count_nonzero(found & mask) / np.count_nonzero(found | mask)
        assert both > 0.95, label
        rows, columns = np.nonzero(mask)
        box = (roi.top, roi.left, roi.bottom, roi.right)
        assert box == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)


def test_rois_lie_on_their_planes(tmp_path):
    stack = np.zeros((2, 3, 6, 6), np.uint8)
    stack[1, 2, 2:4, 2:4] = 9
    write_rois(tmp_path / "a.zip", outlines(Image.of(stack)))
    roi = roifile.ImagejRoi.frombytes(
        zipfile.ZipFile(tmp_path / "a.zip").read("t0001-z0002-000009.roi")
    )
    assert (roi.t_position, roi.z_position, roi.c_position) == (2, 3, 1)


def test_rois_that_cannot_be(tmp_path):
    far = np.zeros((1, 33000), np.uint8)
    far[0, -1] = 1
    with pytest.raises(InputError, match="beyond pixel"):
        write_rois(tmp_path / "a.zip", outlines(Image.of(far)))
    with pytest.raises(InputError, match="no objects"):
        write_rois(tmp_path / "a.zip", outlines(Image.of(far * 0)))
    with pytest.raises(InputError, match=r"\.zip"):
        write_rois(tmp_path / "a.roi", [])
    assert list(tmp_path.iterdir()) == []


def test_geojson_holds_exact_areas_and_measurements(tmp_path):
    labels = scene()
    image = Image.of(labels, spacing=(0.5, 0.5), unit="µm")
    table = measure(image) | {"odd": np.array([1, np.nan, np.inf, 2])}
    write_geojson(tmp_path / "a.geojson", outlines(image), table, name="cells")
    content = json.loads((tmp_path / "a.geojson").read_text())
    assert content["type"] == "FeatureCollection"
    assert len({feature["id"] for feature in content["features"]}) == 4
    for feature in content["features"]:
        geometry, facts = feature["geometry"], feature["properties"]
        parts = geometry["coordinates"]
        parts = [parts] if geometry["type"] == "Polygon" else parts
        rings = [ring for polygon in parts for ring in polygon]
        assert all(ring[0] == ring[-1] for ring in rings)
        area = sum(signed_area(np.array(ring[:-1])) for ring in rings)
        assert area == np.count_nonzero(labels == facts["label"])
        assert facts["measurements"]["area_um2"] == area / 4
        assert facts["objectType"] == "detection"
        assert "plane" not in geometry
        assert ("odd" in facts["measurements"]) == (facts["label"] in (5, 300))
    kinds = {f["properties"]["label"]: f["geometry"]["type"] for f in content["features"]}
    assert kinds == {5: "MultiPolygon", 6: "Polygon", 7: "MultiPolygon", 300: "Polygon"}


def test_geojson_of_volumes_says_the_plane(tmp_path):
    volume = np.zeros((3, 6, 6), np.uint8)
    volume[1:, 2:4, 2:5] = 4
    write_geojson(tmp_path / "a.geojson", outlines(Image.of(volume)), measure(Image.of(volume)))
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [f["geometry"]["plane"]["z"] for f in features] == [1, 2]
    assert [f["properties"]["measurements"]["volume_px3"] for f in features] == [12, 12]


def test_nothing_is_an_empty_collection(tmp_path):
    write_geojson(tmp_path / "a.geojson", outlines(Image.of(np.zeros((4, 4), int))))
    assert json.loads((tmp_path / "a.geojson").read_text())["features"] == []
    with pytest.raises(InputError, match="whole numbers"):
        next(outlines(Image.of(np.zeros((4, 4)))))
