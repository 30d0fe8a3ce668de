"""The table of cells: each figure is that of its compartment, measured directly."""

import numpy as np
import pytest

from napari_unetseg.core.image import Image
from napari_unetseg.core.measure import (
    CellMeasureOptions,
    column_kind,
    column_meaning,
    find_positions,
    measure,
    measure_cells,
)
from napari_unetseg.core.objects.compartments import find_compartments
from napari_unetseg.core.samples import cells as draw_cells

CASES = [("YX", (150, 180)), ("ZYX", (8, 140, 140))]


def sampled(axes, shape, **options):
    sample = draw_cells(shape, seed=3, binucleate=0.3, anucleate=0.2)
    chosen = CellMeasureOptions(**options)

    def labels(array):
        return Image(array, axes, sample.spacing, "µm")

    found = find_compartments(labels(sample.nuclei), labels(sample.objects), chosen)
    return sample, found, chosen


@pytest.mark.parametrize(("axes", "shape"), CASES)
def test_every_figure_is_that_of_its_compartment(axes, shape):
    sample, found, options = sampled(axes, shape, median=True, hull=axes == "YX")
    image = sample.as_image()
    table = measure_cells(found, image, options)
    compartments = {"cell": found.cells, "nucleus": found.nuclei, "cytoplasm": found.cytoplasm}
    assert len(table["label"]) == sample.objects.max()
    checked = set()
    for name, labels in compartments.items():
        own = measure(labels, image, options)
        rows = {label: row for row, label in enumerate(own["label"].tolist())}
        for column in own:
            joined = table.get(f"{name}_{column}")
            if joined is None:
                continue
            checked.add(f"{name}_{column}")
            for label, value in zip(table["label"].tolist(), joined.tolist(), strict=True):
                if label in rows:
                    assert value == own[column][rows[label]]
                elif column_kind(column) in ("pixels", "area", "volume"):
                    assert value == 0
                else:
                    assert np.isnan(value)
    size = "area_um2" if axes == "YX" else "volume_um3"
    assert {f"nucleus_{size}", f"cell_{size}", "cytoplasm_mean_cytoplasm"} <= checked
    assert {"nucleus_median_nuclei", "cell_max_nuclei"} <= checked
    assert np.array_equal(table["nucleus_pixels"] + table["cytoplasm_pixels"], table["cell_pixels"])
    counts = [len(np.setdiff1d(sample.nuclei[sample.objects == k], [0])) for k in table["label"]]
    assert table["n_nuclei"].tolist() == counts
    ratio = table["nucleus_to_cell_area" if axes == "YX" else "nucleus_to_cell_volume"]
    there = table["n_nuclei"] > 0
    assert np.isnan(ratio[~there]).all()
    assert (~there).any()
    assert np.allclose(ratio[there] * table[f"cell_{size}"][there], table[f"nucleus_{size}"][there])
    contrast = table["nucleus_to_cytoplasm_mean_nuclei"]
    assert (contrast[there] > 1.5).all()
    assert all(column_meaning(name) for name in table)


def test_positions_are_those_of_the_cells():
    sample, found, options = sampled("YX", (150, 180))
    table = measure_cells(found, None, options)
    centre, low, high = find_positions(table, found.cells)
    own = measure(found.cells)
    assert np.array_equal(low[:, 0], own["first_y"])
    assert np.array_equal(high[:, 1], own["last_x"])
    assert np.allclose(centre[:, 0] * sample.spacing[0], own["centroid_y_um"])
    assert np.array_equal(table["touches_border"], own["touches_border"])


def test_times_and_planes_are_rows_of_their_own():
    sample, _, options = sampled("YX", (90, 90))
    empty = np.zeros_like(sample.nuclei)
    nuclei = Image.of(np.stack([sample.nuclei, empty]), "TYX")
    cells = Image.of(np.stack([sample.objects] * 2), "TYX")
    table = measure_cells(find_compartments(nuclei, cells, options), None, options)
    later = table["t"] == 1
    assert later.sum() == (~later).sum() == sample.objects.max()
    assert not table["n_nuclei"][later].any()
    assert table["n_nuclei"][~later].any()
    volume = CellMeasureOptions(per="plane")
    table = measure_cells(
        find_compartments(Image.of(nuclei.data, "ZYX"), Image.of(cells.data, "ZYX"), volume),
        None,
        volume,
    )
    assert set(table["z"]) == {0, 1}
    assert not table["nucleus_pixels"][table["z"] == 1].any()


def test_nothing_found_is_an_empty_table():
    nothing = Image.of(np.zeros((9, 9), int))
    table = measure_cells(find_compartments(nothing, nothing), Image.of(np.ones((9, 9))))
    assert {len(column) for column in table.values()} == {0}
    assert "nucleus_mean" in table


def test_a_column_names_its_compartment():
    assert column_meaning("nucleus_mean_dapi") == "Of the nucleus: mean intensity."
    assert column_meaning("nucleus_to_cell_area").startswith("Area or volume")
    assert column_kind("cytoplasm_area_um2") == "area"
    assert column_kind("centroid_y_um") == "centroid"
