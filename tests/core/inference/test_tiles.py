"""Tiles: cutting and assembling is identity, and every block is where it should be."""

import math

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.tiles import TileGrid


@st.composite
def grids(draw: st.DrawFn, blend: bool = True) -> TileGrid:
    ndim = draw(st.integers(1, 3))
    longest = 40 if ndim < 3 else 12

    def sizes(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(ndim))

    return TileGrid(
        sizes(1, longest),
        sizes(3, longest + 5),
        halo=sizes(0, 9),
        multiple=tuple(2**k for k in sizes(0, 3)),
        border=sizes(0, 9),
        blend=draw(st.integers(0, 4)) if blend else 0,
    )


@settings(max_examples=60)
@given(grids())
def test_cut_and_assemble_is_identity(grid: TileGrid) -> None:
    image = np.random.default_rng(0).random((2, *grid.shape), dtype=np.float32)
    blocks = [grid.cut(image, tile) for tile in grid]
    assert [block.shape[1:] for block in blocks] == [tile.block_shape for tile in grid]
    np.testing.assert_allclose(grid.assemble(blocks), image, atol=1e-6)


@settings(max_examples=60)
@given(grids())
def test_blocks_lie_on_the_grid_with_their_halo(grid: TileGrid) -> None:
    ends = [
        -(-n // m) * m + b for n, m, b in zip(grid.shape, grid.multiple, grid.border, strict=True)
    ]
    for tile in grid:
        for axis, multiple in enumerate(grid.multiple):
            first, last = tile.block_start[axis], tile.block_stop[axis]
            region, halo = tile.region[axis], grid.halo[axis]
            assert first % multiple == last % multiple == 0
            assert first <= max(region.start - halo, -grid.border[axis])
            assert last >= min(region.stop + halo, ends[axis])
            assert -grid.border[axis] <= first < last <= ends[axis]


@settings(max_examples=40)
@given(grids(blend=False))
def test_every_pixel_belongs_to_one_tile(grid: TileGrid) -> None:
    owners = np.zeros(grid.shape, dtype=int)
    for tile in grid:
        owners[tile.region] += 1
    assert (owners == 1).all()
    assert len(list(grid)) == len(grid)


@settings(max_examples=40)
@given(grids())
def test_split_covers_the_region_and_stays_in_the_block(grid: TileGrid) -> None:
    for tile in grid:
        halves = grid.split(tile)
        owners = np.zeros(grid.shape, dtype=int)
        for half in halves:
            owners[half.region] += 1
            assert math.prod(half.block_shape) <= math.prod(tile.block_shape)
            for axis, part in enumerate(half.region):
                halo, multiple = grid.halo[axis], grid.multiple[axis]
                assert half.block_start[axis] % multiple == half.block_stop[axis] % multiple == 0
                assert half.block_start[axis] <= max(part.start - halo, tile.block_start[axis])
                assert half.block_stop[axis] >= min(part.stop + halo, tile.block_stop[axis])
        if halves:
            assert (owners[tile.region] == 1).all()
            assert owners.sum() == owners[tile.region].size


def test_a_filter_gives_the_same_in_tiles() -> None:
    image = np.random.default_rng(1).random((75, 61))
    whole = ndimage.uniform_filter(image, 9, mode="reflect")
    grid = TileGrid(image.shape, (20, 30), halo=(4, 4))
    tiles = [ndimage.uniform_filter(grid.cut(image, tile), 9) for tile in grid]
    np.testing.assert_allclose(grid.assemble(tiles), whole)
    short = TileGrid(image.shape, (20, 30), halo=(2, 2), border=(4, 4))
    tiles = [ndimage.uniform_filter(short.cut(image, tile), 9) for tile in short]
    assert not np.allclose(short.assemble(tiles), whole)


def test_beyond_the_edge_is_a_mirror() -> None:
    grid = TileGrid((3,), (3,), halo=(4,))
    (tile,) = grid
    assert grid.cut(np.array([1, 2, 3]), tile).tolist() == [3, 3, 2, 1, 1, 2, 3, 3, 2, 1, 1]


def test_an_image_on_disk_is_read_in_parts() -> None:
    image = np.arange(50 * 40).reshape(50, 40)
    read = []

    def load(block: np.ndarray, block_info: dict[int, dict[str, object]]) -> np.ndarray:
        read.append(block_info[0]["chunk-location"])
        return block

    lazy = da.from_array(image, chunks=(10, 10)).map_blocks(load, dtype=image.dtype, meta=image[:0])
    grid = TileGrid(image.shape, (10, 10), halo=(2, 2))
    np.testing.assert_array_equal(
        grid.cut(lazy, next(iter(grid))), np.pad(image, 2, "symmetric")[:14, :14]
    )
    assert len(set(read)) == 4


def test_sides_are_evened_out() -> None:
    assert TileGrid((300,), (256,)).side == (150,)
    assert TileGrid((300,), (256,), multiple=(16,)).side == (160,)


@given(
    st.tuples(st.integers(1, 2000), st.integers(1, 2000)), st.integers(0, 100), st.integers(2, 5)
)
@settings(max_examples=15)
def test_planned_keeps_to_the_limit(shape: tuple[int, int], halo: int, power: int) -> None:
    needs = {"halo": (halo,) * 2, "multiple": (2**power,) * 2}
    limit = 2**18
    grid = TileGrid.planned(shape, **needs, pixels=limit)  # type: ignore[arg-type]
    smallest = TileGrid(shape, (1, 1), **needs).largest_block  # type: ignore[arg-type]
    assert grid.largest_block <= max(limit, 4 * smallest)
    naive = TileGrid(shape, (256, 256), **needs)  # type: ignore[arg-type]
    if naive.largest_block <= limit:
        assert grid.n_computed <= naive.n_computed * 1.05
    assert grid.n_computed == sum(math.prod(tile.block_shape) for tile in grid)
    assert grid.largest_block == max(math.prod(tile.block_shape) for tile in grid)


def test_planned_without_a_halo_takes_the_fewest_tiles() -> None:
    assert len(TileGrid.planned((500, 400))) == 1
    assert len(TileGrid.planned((2048, 2048))) <= 8


@pytest.mark.parametrize(
    "options",
    [{"side": (0, 5)}, {"halo": (1,)}, {"halo": (-1, 0)}, {"multiple": (0, 1)}, {"blend": -1}],
)
def test_impossible_grids(options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        TileGrid((10, 10), **{"side": (5, 5), **options})  # type: ignore[arg-type]
