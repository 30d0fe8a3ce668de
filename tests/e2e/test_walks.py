"""A newcomer's walks, by clicks and keys alone; `tools/walk_the_window.py` takes them in full."""

import csv

import pytest

from napari_unetseg.core.io import write_image
from napari_unetseg.core.samples import neurons, nuclei


@pytest.fixture
def person(make_napari_viewer, monkeypatch, project_root):
    monkeypatch.syspath_prepend(project_root / "tools")
    from window.person import Person

    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 780)
    person = Person(viewer)
    yield person
    # napari looks for whoever still holds its window.
    vars(person).clear()


@pytest.fixture
def plate(tmp_path):
    folder = tmp_path / "plate"
    for seed in range(2):
        write_image(folder / f"n{seed}.tif", nuclei((128, 144), seed=seed).as_image())
    return folder


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_from_an_image_of_nuclei_to_a_table(person, plate, tmp_path):
    from window import walks

    table = walks.nuclei(person, plate / "n0.tif", tmp_path)
    truth = nuclei((128, 144), seed=0).objects.max()
    assert len(rows_of(table)) == pytest.approx(truth, rel=0.3)
    said = {step.name: step.message for step in person.diary}
    assert "fits best" in said["see which model fits"]
    assert "Next: Measure" in said["predict"]
    assert person.clicks == 9, "three in the menu, two in each file dialog and its button"


def test_from_one_image_to_the_tables_of_a_folder(person, plate):
    from window import walks

    results = walks.folder(person, plate)
    assert {row["image"] for row in rows_of(results / "measurements.csv")} == {"n0", "n1"}
    assert "2 of 2 images done" in person.message()


def test_from_phase_contrast_over_corrections_to_a_network(person, tmp_path):
    from window import walks

    pytest.importorskip("torch")
    image = tmp_path / "neurons.tif"
    write_image(image, neurons((192, 208), seed=1).as_image())
    found = walks.neurons(person, image, minutes=0.1)
    said = {step.name: step.message for step in person.diary}
    assert "Dice" in said["train a UNet"]
    assert 0 < (found.data > 0).mean() < 0.5
