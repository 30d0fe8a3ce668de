"""A project comes back as it was saved, whatever happened meanwhile."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import write_image, write_labels
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.project import (
    Contents,
    ImageItem,
    LabelsItem,
    ProjectFolder,
    is_project,
    project_folder,
    project_items,
)
from napari_unetseg.core.training.model_history import History
from napari_unetseg.core.training.train import train


def ink_of(mask):
    ink = PixelSet(mask.shape)
    ink.add(tuple(slice(0, n) for n in mask.shape), mask)
    return ink


def labels_item(seed=0, shape=(20, 30), dtype=np.int32, **more):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 200, shape).astype(dtype)
    ink = ink_of(rng.random(shape) < 0.2)
    return LabelsItem(key="cells", name="Cells", labels=labels, ink=ink, version=seed, **more)


def same(one, other):
    return np.array_equal(one.labels, other.labels) and np.array_equal(
        one.ink.array(), other.ink.array()
    )


@pytest.fixture(scope="module")
def model():
    image = Image.of(np.random.default_rng(0).random((24, 24)).astype(np.float32))
    labels = (np.asarray(image.data) > 0.5).astype(np.uint8)
    spec = LogisticSpec(sigmas="1")
    return train(
        spec, [TrainingPair(image, labels)], TrainOptions(), name="m 1", labels_are="mask"
    ).model


@pytest.mark.parametrize("shape", [(20, 30), (3, 20, 30), (2, 3, 20, 30)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_everything_comes_back(tmp_path, shape, dtype, model):
    noise = Image.of(np.random.default_rng(1).random(shape).astype(np.float32))
    write_image(tmp_path / "outside.tif", noise)
    place = {"scale": [2.0, 0.5], "colormap": "magma"}
    contents = Contents(
        images=(
            ImageItem(key="a", name="Inside", image=noise, version=1),
            ImageItem(key="b", name="Out", image=noise, path=tmp_path / "outside.tif"),
        ),
        labels=(labels_item(shape=shape, dtype=dtype, place=place, mark={"role": "mask"}),),
        models=(model,),
    )
    ProjectFolder(tmp_path / "p.unetseg").save(contents)
    assert is_project(tmp_path / "p.unetseg")
    found = ProjectFolder(tmp_path / "p.unetseg").open()
    assert [item.name for item in found.images] == ["Inside", "Out"]
    for item in found.images:
        assert np.array_equal(item.image.asarray(), noise.data)
    assert found.images[1].path == tmp_path / "outside.tif"
    assert same(found.labels[0], contents.labels[0])
    assert found.labels[0].labels.dtype == dtype
    assert found.labels[0].place == place
    assert found.labels[0].mark == {"role": "mask"}
    assert found.models[0].fingerprint == model.fingerprint
    assert found.models[0].name == model.name
    assert not found.missing


def test_only_what_changed_is_written(tmp_path, model):
    folder = ProjectFolder(tmp_path / "p")
    first = Contents(labels=(labels_item(0),), models=(model,))
    assert len(folder.save(first)) == 3
    assert folder.save(first) == []
    renamed = Contents(labels=(replace(first.labels[0], name="Renamed"),), models=(model,))
    assert folder.save(renamed) == []
    assert ProjectFolder(tmp_path / "p").open().labels[0].name == "Renamed"
    assert len(folder.save(Contents(labels=(labels_item(1),), models=(model,)))) == 2
    again = ProjectFolder(tmp_path / "p")
    assert same(again.open().labels[0], labels_item(1))
    # What is gone from the window goes from the folder.
    again.save(Contents())
    left = [path for path in (tmp_path / "p").rglob("*") if path.is_file()]
    assert sorted(path.name for path in left) == [".lock", "project.json"]


def test_the_history_comes_back_and_is_written_when_it_changes(tmp_path, model):
    history = History()
    history.add(model, origin="trained")
    folder = ProjectFolder(tmp_path / "p")
    contents = Contents(models=(model,), history=history.versions)
    assert len(folder.save(contents)) == 2
    assert folder.save(contents) == []
    assert ProjectFolder(tmp_path / "p").open().history == history.versions
    history.add(replace(model, name="m 2"))
    again = ProjectFolder(tmp_path / "p")
    again.open()
    # The weights of a version that is not kept are not there, its row is.
    assert again.save(replace(contents, history=history.versions)) == ["history/versions-3.json"]
    found = ProjectFolder(tmp_path / "p").open()
    assert (found.history, len(found.models)) == (history.versions, 1)
    assert len(list((tmp_path / "p" / "history").iterdir())) == 1


@pytest.mark.parametrize("damage", ["truncated", "gone"])
def test_a_damaged_history_costs_no_model_and_is_set_aside(tmp_path, model, damage):
    history = History()
    history.add(model)
    path = tmp_path / "p"
    ProjectFolder(path).save(Contents(models=(model,), history=history.versions))
    (file,) = (path / "history").iterdir()
    half = file.read_bytes()[:100]
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(half)
    folder = ProjectFolder(path)
    found = folder.open()
    assert [one.fingerprint for one in found.models] == [model.fingerprint]
    assert found.history == ()
    assert "history" in found.missing[0]
    folder.save(replace(found, history=history.versions))
    assert ProjectFolder(path).open().history == history.versions
    if damage == "truncated":
        assert (path / f"damaged-{file.name}").read_bytes() == half


def test_a_crash_before_the_list_is_replaced_leaves_the_old_history(tmp_path, model, monkeypatch):
    history = History()
    history.add(model)
    folder = ProjectFolder(tmp_path / "p")
    folder.save(Contents(models=(model,), history=history.versions))
    old = history.versions
    history.add(replace(model, name="m 2"))

    def crash(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(project_folder, "writing", crash)
        with pytest.raises(KeyboardInterrupt):
            folder.save(Contents(models=(model,), history=history.versions))
    assert ProjectFolder(tmp_path / "p").open().history == old
    folder.save(Contents(models=(model,), history=history.versions))
    assert ProjectFolder(tmp_path / "p").open().history == history.versions


def test_a_project_can_be_moved_with_its_images(tmp_path):
    noise = Image.of(np.random.default_rng(1).random((8, 9)).astype(np.float32))
    (tmp_path / "here").mkdir()
    write_image(tmp_path / "here" / "a.tif", noise)
    item = ImageItem(key="a", name="a", image=noise, path=tmp_path / "here" / "a.tif")
    ProjectFolder(tmp_path / "here" / "p").save(Contents(images=(item,)))
    (tmp_path / "here").rename(tmp_path / "there")
    found = ProjectFolder(tmp_path / "there" / "p").open()
    assert np.array_equal(found.images[0].image.asarray(), noise.data)
    (tmp_path / "there" / "a.tif").unlink()
    found = ProjectFolder(tmp_path / "there" / "p").open()
    assert not found.images
    assert "a: There is no file" in found.missing[0]


def test_two_windows_do_not_write_over_each_other(tmp_path):
    one, other = ProjectFolder(tmp_path / "p"), ProjectFolder(tmp_path / "p")
    one.save(Contents(labels=(labels_item(0),)))
    other.open()
    other.save(Contents(labels=(labels_item(1),)))
    with pytest.raises(InputError, match="another window"):
        one.save(Contents(labels=(labels_item(2),)))
    assert same(ProjectFolder(tmp_path / "p").open().labels[0], labels_item(1))


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="other files"):
        ProjectFolder(tmp_path).save(Contents())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_that_went_away_is_made_again(tmp_path):
    folder = ProjectFolder(tmp_path / "p")
    folder.save(Contents(labels=(labels_item(0),)))
    (tmp_path / "p").rename(tmp_path / "elsewhere")
    folder.save(Contents(labels=(labels_item(0),)))
    assert same(ProjectFolder(tmp_path / "p").open().labels[0], labels_item(0))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("file", "../../secret.tif"),
        ("file", "/etc/passwd"),
        ("file", "labels/../../x.tif"),
        ("dtype", "O"),
        ("dtype", "nonsense"),
        ("shape", [1000000, 1000000, 1000000]),
        ("shape", [20, 31]),
        ("key", "../x"),
    ],
)
def test_hostile_lists_are_refused(tmp_path, field, value):
    folder = ProjectFolder(tmp_path / "p")
    folder.save(Contents(labels=(labels_item(0),)))
    listed = tmp_path / "p" / "project.json"
    content = json.loads(listed.read_text())
    content["labels"][0][field] = value
    listed.write_text(json.dumps(content))
    folder = ProjectFolder(tmp_path / "p")
    if field in ("dtype", "shape"):
        found = folder.open()
        assert not found.labels
        assert "Cells: " in found.missing[0]
    else:
        with pytest.raises(InputError):
            folder.open()


@pytest.mark.parametrize("content", [b"", b"{}x", b"[]", b'{"version": 99}', b"\xff\xfe"])
def test_broken_lists_are_refused(tmp_path, content):
    (tmp_path / "project.json").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        ProjectFolder(tmp_path).open()
    with pytest.raises(InputError, match="damaged"):
        ProjectFolder(tmp_path).save(Contents())
    assert (tmp_path / "project.json").read_bytes() == content


def test_no_folder_is_no_project(tmp_path):
    with pytest.raises(InputError, match="not a project"):
        ProjectFolder(tmp_path / "nothing").open()


def test_two_items_of_one_key_are_refused():
    with pytest.raises(ValueError, match="the same key"):
        Contents(labels=(labels_item(0), labels_item(1)))


def test_a_file_that_does_not_read_back_is_not_saved(tmp_path, monkeypatch):
    folder = ProjectFolder(tmp_path / "p")
    folder.save(Contents(labels=(labels_item(0),)))

    def write_wrongly(path, image):
        write_labels(path, image.with_data(image.data * 0))

    with monkeypatch.context() as patched:
        patched.setattr(project_items, "write_labels", write_wrongly)
        with pytest.raises(InputError, match="does not read back"):
            folder.save(Contents(labels=(labels_item(1),)))
    assert same(ProjectFolder(tmp_path / "p").open().labels[0], labels_item(0))


@pytest.mark.parametrize(
    ("shape", "axes"), [((1, 8, 9), "ZYX"), ((8, 9, 2), "YXC"), ((2, 1, 8, 9), "TZYX")]
)
def test_an_image_comes_back_with_its_axes(tmp_path, shape, axes):
    data = np.random.default_rng(0).random(shape).astype(np.float32)
    image = Image.of(data, axes, spacing=(0.5,) * sum(axis in "ZYX" for axis in axes), unit="µm")
    ProjectFolder(tmp_path / "p").save(
        Contents(images=(ImageItem(key="a", name="a", image=image),))
    )
    found = ProjectFolder(tmp_path / "p").open().images[0].image
    assert (found.axes, found.spacing) == (axes, image.spacing)
    assert np.array_equal(found.asarray(), data)


@pytest.mark.parametrize("part", [np.s_[0], np.s_[:, 1:5, 2:6], np.s_[:]])
def test_an_image_that_differs_from_its_file_is_stored(tmp_path, part):
    both = np.random.default_rng(0).random((2, 8, 9)).astype(np.float32)
    write_image(tmp_path / "both.tif", Image.of(both, "ZYX"))
    shown = Image.of(both[part])
    item = ImageItem(key="a", name="a", image=shown, path=tmp_path / "both.tif")
    ProjectFolder(tmp_path / "p").save(Contents(images=(item,)))
    found = ProjectFolder(tmp_path / "p").open().images[0]
    assert np.array_equal(found.image.asarray(), shown.data)
    assert (found.path is not None) == (shown.shape == both.shape)


@pytest.mark.parametrize("lost", ["labels", "ink", "models"])
@pytest.mark.parametrize("damage", ["gone", "truncated"])
def test_what_is_there_is_opened_and_the_rest_named_and_kept(tmp_path, model, lost, damage):
    path = tmp_path / "p"
    other = replace(labels_item(3), key="other", name="Other")
    ProjectFolder(path).save(Contents(labels=(labels_item(0), other), models=(model,)))
    (file,) = (path / lost).glob("other-*" if lost != "models" else "*")
    whole = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(whole[:50])
    folder = ProjectFolder(path)
    found = folder.open()
    assert same(found.labels[0], labels_item(0))
    assert len(found.missing) == 1
    assert len(found.labels) == (1 if lost == "labels" else 2)
    assert len(found.models) == (0 if lost == "models" else 1)
    # Saving keeps what may come back, by a backup or a cloud.
    folder.save(found)
    assert file.exists() == (damage == "truncated")
    file.write_bytes(whole)
    again = ProjectFolder(path).open()
    assert not again.missing
    assert (len(again.labels), len(again.models)) == (2, 1)
    assert same(again.labels[1 if lost != "labels" else 0], other) or lost == "labels"


def test_a_lost_file_is_written_again_from_what_holds_it(tmp_path):
    path = tmp_path / "p"
    folder = ProjectFolder(path)
    contents = Contents(labels=(labels_item(0), replace(labels_item(1), key="b", name="B")))
    folder.save(contents)
    (path / "ink" / "cells-1.tif").unlink()
    (path / "labels" / "b-1.tif").unlink()
    assert len(folder.save(contents)) == 4
    found = ProjectFolder(path).open()
    assert all(map(same, found.labels, contents.labels))


def test_projects_of_earlier_versions_with_one_key_twice_open(tmp_path):
    path = tmp_path / "p"
    ProjectFolder(path).save(Contents(labels=(labels_item(0),)))
    content = json.loads((path / "project.json").read_text())
    content["labels"] *= 2
    (path / "project.json").write_text(json.dumps(content))
    folder = ProjectFolder(path)
    found = folder.open()
    assert len({item.key for item in found.labels}) == 2
    folder.save(found)
    assert all(same(item, labels_item(0)) for item in ProjectFolder(path).open().labels)
