"""Tables of layers have files of their own, and whatever is saved opens."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io.table_files import read_typed_table, write_typed_table
from napari_unetseg.core.project import Contents, ImageItem, LabelsItem, ProjectFolder

EXAMPLES = int(os.environ.get("UNETSEG_FUZZ", "12"))


def same_tables(one, other):
    if one is None or other is None:
        return one is other
    return list(one) == list(other) and all(map(same_columns, one.values(), other.values()))


def same_columns(one, other):
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    # Text is compared as text, for NaN differs from itself.
    return repr(one.tolist()) == repr(other.tolist())


def layer(table, key="cells"):
    labels = np.arange(63, dtype=np.int32).reshape(7, 9)
    return LabelsItem(key=key, name="Cells", labels=labels, table=table, version=1)


MANY = {f"column_{k}": np.random.default_rng(k).random(9801) for k in range(12)}


def mixed():
    cells = np.empty(3, object)
    cells[:] = ["=1+1", None, float("nan")]
    return {
        "label": np.array([1, 2, 2**63], np.uint64),
        "area": np.array([0.1, np.nan, -np.inf], np.float32),
        "edge": np.array([True, False, True]),
        "when": np.array(["2020-02-29", "NaT", "1969-01-01"], "M8[ns]"),
        'a "name",\n': cells,
    }


@pytest.mark.parametrize("table", [None, mixed(), {"nothing": np.empty(0, np.int8)}])
def test_a_table_comes_back_exactly(tmp_path, table):
    folder = ProjectFolder(tmp_path / "p")
    contents = Contents(labels=(layer(table),))
    folder.save(contents)
    assert folder.save(contents) == []
    again = ProjectFolder(tmp_path / "p")
    found = again.open()
    assert not found.missing
    assert same_tables(found.labels[0].table, table)
    assert again.save(found) == []


def test_the_list_stays_small(tmp_path):
    folder = ProjectFolder(tmp_path / "p")
    contents = Contents(labels=(layer(MANY), layer(MANY, "other")))
    folder.save(contents)
    assert (tmp_path / "p" / "project.json").stat().st_size < 10_000
    changed = replace(contents.labels[0], table={**MANY, "column_3": MANY["column_2"]})
    written = folder.save(Contents(labels=(changed, contents.labels[1])))
    assert written == ["tables/cells-2.csv"]
    assert len(list((tmp_path / "p" / "tables").iterdir())) == 2
    assert same_tables(ProjectFolder(tmp_path / "p").open().labels[0].table, changed.table)


def test_tables_in_the_list_of_earlier_versions_move_to_files(tmp_path):
    path = tmp_path / "p"
    ProjectFolder(path).save(Contents(labels=(layer(None),)))
    content = json.loads((path / "project.json").read_text())
    (entry,) = content["labels"]
    del entry["table"], entry["columns"]
    entry["place"]["features"] = {
        "index": list(range(60_000)),
        "area": [0.1, None] * 30_000,
        "class": ["a b c" * 10, None] * 30_000,
    }
    (path / "project.json").write_text(json.dumps({**content, "version": 1}, indent=30))
    assert (path / "project.json").stat().st_size > 10_000_000
    folder = ProjectFolder(path)
    found = folder.open()
    table = found.labels[0].table
    assert not found.missing
    assert "features" not in found.labels[0].place
    assert [column.dtype for column in table.values()] == [np.int64, np.float64, object]
    assert np.isnan(table["area"][1])
    folder.save(found)
    content = json.loads((path / "project.json").read_text())
    assert content["version"] == 2
    assert (path / "project.json").stat().st_size < 10_000
    assert same_tables(ProjectFolder(path).open().labels[0].table, table)


@pytest.mark.parametrize("damage", [b"", b"x", b"label\n1\n", b"\xff\xfe", None])
def test_a_damaged_table_costs_the_table_alone_and_is_set_aside(tmp_path, damage):
    path = tmp_path / "p"
    ProjectFolder(path).save(Contents(labels=(layer(mixed()),)))
    (file,) = (path / "tables").iterdir()
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    folder = ProjectFolder(path)
    found = folder.open()
    assert np.array_equal(found.labels[0].labels, layer(None).labels)
    (sentence,) = found.missing
    assert sentence.startswith("Cells has no table any more: ")
    assert file.name in sentence
    folder.save(found)
    assert (path / f"damaged-{file.name}").exists() == (damage is not None)
    assert not ProjectFolder(path).open().missing


def test_a_cell_that_would_not_be_read_is_not_written(tmp_path):
    long = {"text": np.array(["x" * 200_000], object)}
    with pytest.raises(InputError, match="more than"):
        write_typed_table(tmp_path / "a.csv", long)
    folder = ProjectFolder(tmp_path / "p")
    folder.save(Contents(labels=(layer(long),)))
    assert "The table of Cells was not saved" in folder.left_out[0]
    assert ProjectFolder(tmp_path / "p").open().labels[0].table is None


NUMBERS = st.one_of(
    of_numpy.boolean_dtypes(),
    of_numpy.integer_dtypes(),
    of_numpy.unsigned_integer_dtypes(),
    of_numpy.floating_dtypes(sizes=(16, 32, 64)),
    of_numpy.datetime64_dtypes(),
)
CELLS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
NAMES = st.text() | st.sampled_from(["CON", "a/b", "../x", "", "x" * 5000, "\udcff.tif", "=1"])


@st.composite
def tables(draw):
    n = draw(st.integers(0, 5))
    columns = {}
    for name in draw(st.lists(st.text(max_size=8), max_size=4, unique=True)):
        if draw(st.booleans()):
            columns[name] = draw(of_numpy.arrays(draw(NUMBERS), n))
        else:
            columns[name] = np.empty(n, object)
            columns[name][:] = draw(st.lists(CELLS, min_size=n, max_size=n))
    return columns


@settings(max_examples=10 * EXAMPLES)
@given(tables())
def test_whatever_table_is_written_is_read(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("tables") / "a.csv"
    assert same_tables(read_typed_table(path, write_typed_table(path, table)), table)


JSON = st.recursive(CELLS, lambda one: st.lists(one, max_size=3) | st.dictionaries(NAMES, one))
SHAPES = of_numpy.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=6)


@st.composite
def layers(draw, key):
    labels = draw(of_numpy.arrays("u1", draw(SHAPES), elements=st.integers(0, 200)))
    labels = labels.astype(draw(st.sampled_from(["u1", "u2", ">i2", "i4", "i8"])))
    ink = None
    if draw(st.booleans()):
        ink = PixelSet(labels.shape)
        ink.add(tuple(slice(0, n) for n in labels.shape), labels % 3 == 1)
    return LabelsItem(
        key=key,
        name=draw(NAMES),
        labels=labels,
        ink=ink,
        table=draw(st.none() | tables()) or None,
        place=draw(st.dictionaries(NAMES, JSON, max_size=2)),
        mark=draw(st.dictionaries(NAMES, JSON, max_size=2)),
    )


@st.composite
def projects(draw):
    pixels = of_numpy.arrays(
        draw(st.sampled_from(["u1", "u2", "f4", "f8"])),
        draw(of_numpy.array_shapes(min_dims=2, max_dims=3, min_side=2, max_side=6)),
    )
    images = [
        ImageItem(key=f"image-{k}", name=draw(NAMES), image=Image.of(draw(pixels)))
        for k in range(draw(st.integers(0, 2)))
    ]
    return Contents(
        images=tuple(images),
        labels=tuple(draw(layers(f"labels-{k}")) for k in range(draw(st.integers(0, 2)))),
    )


def in_utf8(value):
    """Write out the letters that UTF-8 lacks."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {in_utf8(name): in_utf8(one) for name, one in value.items()}
    return type(value)(map(in_utf8, value)) if isinstance(value, list | tuple) else value


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(projects())
def test_whatever_project_is_saved_opens(tmp_path_factory, contents):
    path = tmp_path_factory.mktemp("projects") / "p"
    ProjectFolder(path).save(contents)
    folder = ProjectFolder(path)
    found = folder.open()
    assert not found.missing
    assert [item.key for item in found.items] == [item.key for item in contents.items]
    for one, other in zip(found.images, contents.images, strict=True):
        assert np.array_equal(one.image.asarray(), other.image.asarray(), equal_nan=True)
        assert one.image.axes == other.image.axes
    for one, other in zip(found.labels, contents.labels, strict=True):
        assert np.array_equal(one.labels, other.labels)
        assert one.labels.dtype == other.labels.dtype
        assert bool(one.ink) == bool(other.ink)
        assert same_tables(one.table, other.table)
        # By their text, for NaN differs from itself.
        assert repr((one.name, one.mark)) == repr(in_utf8((other.name, other.mark)))
    # Saving what was opened changes nothing.
    folder.save(found)
    assert not ProjectFolder(path).open().missing
