"""Nuclei paired with cells: one number for what belongs together, and nothing counted twice."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.measure import measure_cells, measure_tracks
from napari_unetseg.core.objects import compartments
from napari_unetseg.core.objects.compartments import CellOptions, find_compartments
from napari_unetseg.core.samples import cells as draw_cells

NUCLEI = np.zeros((20, 30), np.uint8)
NUCLEI[4:7, 4:7], NUCLEI[8:10, 8:10], NUCLEI[4:8, 12:18], NUCLEI[16:19, 20:24] = 1, 2, 5, 8
CELLS = np.zeros((20, 30), np.uint16)
CELLS[2:12, 2:12], CELLS[2:12, 15:25], CELLS[15:18, 2:6] = 7, 9, 3


def found_in(nuclei=NUCLEI, cells=CELLS, axes="YX", image=None, **options):
    given = None if cells is None else Image.of(cells, axes)
    return find_compartments(
        Image.of(nuclei, axes),
        given,
        CellOptions(**options),
        image=None if image is None else Image.of(image, axes),
    )


def check_rules(found):
    """Check what holds for any compartments."""
    nuclei, cells, cytoplasm = (
        np.asarray(part.data) for part in (found.nuclei, found.cells, found.cytoplasm)
    )
    times = nuclei.shape[0] if "T" in found.nuclei.axes else 1
    frames = zip(np.split(nuclei, times), np.split(cells, times), strict=True)
    own = np.concatenate([np.isin(n, c[c > 0]) & (n > 0) for n, c in frames])
    assert np.array_equal(nuclei[own], cells[own]), "a nucleus lies in the cell of its number"
    assert not ((cytoplasm > 0) & own).any()
    rest = cytoplasm > 0
    assert np.array_equal(cytoplasm[rest], cells[rest])
    return nuclei, cells, cytoplasm, own


def test_nuclei_belong_to_the_cell_that_holds_them():
    found = found_in()
    nuclei, cells, cytoplasm, own = check_rules(found)
    assert found.pairs.tolist() == [[0, 7, 1], [0, 7, 2], [0, 9, 5]]
    assert (found.n_cells, found.n_outside) == (3, 1)
    assert np.array_equal(nuclei == 7, np.isin(NUCLEI, (1, 2)))
    assert np.array_equal(cells == 9, (CELLS == 9) | (NUCLEI == 5)), "its nucleus joins the cell"
    assert set(np.unique(nuclei[NUCLEI == 8])) == {10}, "a number that no cell has"
    assert np.array_equal(np.where(own, nuclei, cytoplasm), cells)
    assert found.summary() == (
        "3 cells: 1 with one nucleus, 1 with several, 1 without. 1 nucleus lies outside of cells."
    )


def test_a_nucleus_needs_its_share_inside():
    assert found_in(overlap=0.5).n_outside == 1
    assert found_in(overlap=0.51).n_outside == 2
    nothing = found_in(overlap=0.51)
    assert np.array_equal(nothing.cells.data, CELLS)


def test_a_nucleus_in_two_cells_is_cut_to_the_one_that_holds_most():
    cells = np.zeros((8, 12), int)
    cells[:, :5], cells[:, 5:] = 4, 2
    nuclei = np.zeros((8, 12), int)
    nuclei[2:5, 3:9] = 1
    found = found_in(nuclei, cells)
    assert np.array_equal(found.cells.data, cells)
    assert np.array_equal(found.nuclei.data == 2, (nuclei == 1) & (cells == 2))
    equal = np.where(np.arange(12) < 7, nuclei, 0)
    assert found_in(equal, cells).pairs[0, 1] == 2, "among equals the lower number"


def test_the_largest_of_several_nuclei():
    found = found_in(nucleus="largest")
    nuclei, cells, cytoplasm, _ = check_rules(found)
    assert np.array_equal(nuclei == 7, NUCLEI == 1)
    assert not cytoplasm[NUCLEI == 2].any(), "the cytoplasm is without any nucleus"
    assert (found.pairs[:, 1] == 7).sum() == 2, "all are counted"
    assert cells[NUCLEI == 2].all()


@pytest.mark.parametrize("method", ["objects", "mask"])
def test_cells_without_a_nucleus_can_go(method):
    kept, removed = found_in(method=method), found_in(method=method, without_nucleus="remove")
    assert kept.cells.data[16, 3] > 0
    assert removed.cells.data[16, 3] == removed.cytoplasm.data[16, 3] == 0
    assert (removed.n_cells, removed.n_removed) == (kept.n_cells - 1, 1)
    assert "1 without a nucleus was removed" in removed.summary()


def test_a_mask_is_divided_among_the_nuclei():
    found = found_in(cells=CELLS > 0, method="mask")
    _, cells, _, _ = check_rules(found)
    foreground = (CELLS > 0) | np.isin(NUCLEI, (1, 2, 5))
    assert np.array_equal(cells > 0, foreground)
    assert found.n_outside == 1
    for number in (1, 2, 5):
        assert (cells[number == NUCLEI] == number).all()
    distance = [
        np.hypot(*(np.indices(NUCLEI.shape) - at[:, None, None]))
        for at in np.array([[5.0, 5.0], [8.5, 8.5]])
    ]
    clear = (CELLS == 7) & (abs(distance[0] - distance[1]) > 3)
    assert np.array_equal(cells[clear] == 1, (distance[0] < distance[1])[clear])


@pytest.mark.parametrize("boundary", ["bright", "dark"])
def test_boundaries_are_followed(boundary):
    nuclei, image = np.zeros((12, 30), int), np.full((12, 30), 50.0)
    nuclei[5:7, 3:5], nuclei[5:7, 10:12] = 1, 2
    image[:, 20] = 100 if boundary == "bright" else 0
    nuclei[5:7, 26:28] = 3
    found = found_in(nuclei, nuclei >= 0, image=image, method="mask", boundary=boundary)
    assert (found.cells.data[:, 21:] == 3).all()
    assert (found.cells.data[:, :20] < 3).all()


@pytest.mark.parametrize(("axes", "spacing"), [("YX", (1.0, 0.5)), ("ZYX", (2.0, 1.0, 0.5))])
def test_nuclei_grow_by_a_physical_distance(axes, spacing):
    shape = (9, 21, 41)[-len(axes) :]
    nuclei = np.zeros(shape, int)
    middle = tuple(n // 2 for n in shape)
    nuclei[middle] = 4
    found = find_compartments(
        Image(nuclei, axes, spacing, "µm"), None, CellOptions(method="grow", distance=4.0)
    )
    away = [(i - m) * s for i, m, s in zip(np.indices(shape), middle, spacing, strict=True)]
    assert np.array_equal(found.cells.data == 4, np.sqrt(sum(a**2 for a in away)) <= 4)
    assert found.cells.spacing == spacing


def test_each_time_is_on_its_own():
    nuclei, cells = np.stack([NUCLEI, NUCLEI[::-1]]), np.stack([CELLS, CELLS[::-1]])
    cells[1][cells[1] == 9] = 0
    found = found_in(nuclei, cells, "TYX")
    assert found.pairs.tolist() == [[0, 7, 1], [0, 7, 2], [0, 9, 5], [1, 7, 1], [1, 7, 2]]
    first = found_in()
    assert np.array_equal(found.cells.data[0], first.cells.data)
    outside = found.nuclei.data[nuclei == 8]
    assert not np.isin(outside, cells).any()
    assert found.n_outside == 3


def test_one_volume_is_not_its_planes():
    nuclei, cells = np.stack([NUCLEI, NUCLEI * 0, NUCLEI]), np.stack([CELLS] * 3)
    found = found_in(nuclei, cells, "ZYX")
    assert found.pairs.tolist() == [[0, 7, 1], [0, 7, 2], [0, 9, 5]]
    check_rules(found)


def test_lazy_labels_give_the_same():
    lazy = found_in(da.from_array(NUCLEI, chunks=8), da.from_array(CELLS, chunks=8))
    assert np.array_equal(lazy.nuclei.data, found_in().nuclei.data)
    assert np.array_equal(lazy.cytoplasm.data, found_in().cytoplasm.data)


def test_large_ids_stay_distinct():
    nuclei = np.where(NUCLEI > 0, NUCLEI + np.int64(2**33), 0)
    found = found_in(nuclei, CELLS > 0, method="mask")
    assert found.cells.data.dtype == np.int64
    assert (found.cells.data[NUCLEI == 1] == 2**33 + 1).all()


def test_empty_labels_make_nothing():
    for options in ({}, {"method": "mask"}, {"method": "grow"}):
        found = found_in(NUCLEI * 0, CELLS * 0, **options)
        assert (found.n_cells, found.n_outside, len(found.pairs)) == (0, 0, 0)
        assert not found.cells.data.any()
        assert found.summary() == "0 cells."


@pytest.mark.parametrize("shape", [(200, 200), (10, 90, 90)])
def test_the_truth_of_a_sample_is_found_again(shape):
    sample = draw_cells(shape, seed=4, binucleate=0.3, anucleate=0.2)
    axes = sample.axes[1:]
    found = found_in(sample.nuclei, sample.objects, axes)
    assert np.array_equal(found.cells.data, sample.objects)
    assert np.array_equal(found.cytoplasm.data > 0, sample.classes == 1)
    assert np.array_equal(found.nuclei.data, np.where(sample.nuclei > 0, sample.objects, 0))
    inside = sample.nuclei > 0
    truth = np.unique(np.stack([sample.objects[inside], sample.nuclei[inside]]), axis=1)
    assert set(map(tuple, found.pairs[:, 1:])) == set(map(tuple, truth.T))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    axes=st.sampled_from(["YX", "ZYX", "TYX"]),
    overlap=st.floats(0, 1),
    method=st.sampled_from(["objects", "mask", "grow"]),
    nucleus=st.sampled_from(["all", "largest"]),
    without=st.sampled_from(["keep", "remove"]),
)
def test_what_holds_for_any_labels(seed, axes, overlap, method, nucleus, without):
    rng = np.random.default_rng(seed)
    shape = (2, 7, 9)[-len(axes) :]
    nuclei = rng.integers(0, 5, shape) * (rng.random(shape) < 0.5)
    cells = np.kron(rng.integers(0, 4, (*shape[:-2], 4, 3)), np.ones((2, 3), int))
    cells = cells[..., : shape[-2], : shape[-1]]
    found = found_in(
        nuclei,
        cells,
        axes,
        method=method,
        overlap=overlap,
        nucleus=nucleus,
        without_nucleus=without,
        distance=1.5,
    )
    shown, whole, cytoplasm, _ = check_rules(found)
    if nucleus == "all" or method != "objects":
        times = [slice(None)] if axes != "TYX" else [0, 1]
        for at in times:
            numbers = np.unique(found.pairs[found.pairs[:, 0] == (at if axes == "TYX" else 0), 1])
            paired = np.isin(shown[at], numbers) & (shown[at] > 0)
            assert np.array_equal(np.where(paired, shown[at], cytoplasm[at]), whole[at])
    if without == "remove" and method == "objects":
        assert set(np.unique(whole)) - {0} == set(found.pairs[:, 1])
    if method == "objects" and without == "keep":
        assert np.array_equal(whole[cells > 0], cells[cells > 0]), "cells keep their ids"


def test_mothers_are_those_of_the_numbers_that_stay():
    cells, nuclei = np.stack([CELLS] * 2), np.stack([NUCLEI] * 2)
    nuclei[0][nuclei[0] == 8], cells[0][cells[0] == 9] = 0, 0
    own = Image(nuclei, "TYX", parents={8: 1})
    theirs = Image(cells, "TYX", parents={9: 7})
    for method, parents in (("objects", {9: 7}), ("mask", {8: 1}), ("grow", {8: 1})):
        found = find_compartments(own, theirs, CellOptions(method=method))
        assert found.cells.parents == parents == found.nuclei.parents, method
        table = measure_cells(found)
        assert [name for name in table if "parent" in name] == ["parent"]
        its = dict(zip(table["label"].tolist(), table["parent"].tolist(), strict=True))
        assert {one: mother for one, mother in its.items() if mother} == (
            {} if method == "mask" else parents
        ), "of a mask, nucleus 8 is outside"
        assert len(measure_tracks(table)["label"]) == len(set(table["label"]))
    masked = find_compartments(own, theirs, CellOptions(method="mask"))
    assert set(np.unique(masked.nuclei.data[1][NUCLEI == 8])) == {8}, "a nucleus keeps its number"


def test_inputs_that_do_not_fit_are_refused(monkeypatch):
    with pytest.raises(InputError, match="too large"):
        found_in(NUCLEI.astype(np.uint64) << 60)
    with pytest.raises(InputError, match="needs labels of the cells"):
        found_in(cells=None)
    with pytest.raises(InputError, match=r"\(20, 29\)\) does not fit"):
        found_in(cells=CELLS[:, 1:])
    with pytest.raises(InputError, match="Give that image, or use boundary = middle"):
        found_in(method="mask", boundary="dark")
    with pytest.raises(InputError, match="fractions"):
        found_in(NUCLEI + 0.5)
    with pytest.raises(InputError, match="has channels"):
        find_compartments(Image.of(np.stack([NUCLEI] * 2), "CYX"), Image.of(CELLS))
    monkeypatch.setattr(compartments, "allowed", lambda: 20 * 30 * 30)
    with pytest.raises(InputError, match=r"\(20, 30\) pixels needs 0.0 GB .* cut the images"):
        found_in()
