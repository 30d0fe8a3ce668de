"""Comparison of two files of measured figures."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def runner(project_root: Path) -> Any:
    """The script that runs and compares benchmarks."""
    path = project_root / "tools" / "run_benchmarks.py"
    spec = importlib.util.spec_from_file_location("run_benchmarks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rounds(*figures: tuple[str, str]) -> dict[str, Any]:
    """Return a result with a row of two figures for each round."""
    head = ["way", "processor s", "times the textbook"]
    tables = [[{"head": head, "rows": [["ours", *two]]}] for two in figures]
    return {"tables": tables[-1], "rounds": tables}


def test_what_became_worse_by_more_than_its_spread_is_named(runner: Any) -> None:
    old = {"inference": rounds(("1.00", "20.0"), ("1.10", "21.0"))}
    slower = {"inference": rounds(("1.30", "20.5"), ("1.25", "20.4"))}
    (line,) = runner.compare(old, slower)
    assert line == "inference: ours, processor s: 1.05 -> 1.275 (spread 0.1)"
    fewer = {"inference": rounds(("1.05", "15.0"), ("1.05", "15.5"))}
    (line,) = runner.compare(old, fewer)
    assert "times the textbook" in line


def test_a_gain_or_a_change_within_the_spread_is_not_named(runner: Any) -> None:
    old = {"inference": rounds(("1.00", "20.0"), ("1.10", "21.0"))}
    assert runner.compare(old, {"inference": rounds(("0.50", "40.0"), ("0.51", "41.0"))}) == []
    assert runner.compare(old, {"inference": rounds(("1.14", "19.6"), ("1.12", "19.9"))}) == []
    assert runner.compare(old, {"training": rounds(("9.00", "1.0"), ("9.00", "1.0"))}) == []


def test_a_figure_without_a_known_spread_is_left_out(runner: Any) -> None:
    one = {"inference": rounds(("1.00", "20.0"))}
    assert runner.compare(one, {"inference": rounds(("5.00", "2.0"))}) == []


def test_cells_that_are_no_number_are_left_out(runner: Any) -> None:
    table = {"head": ["what", "ms"], "rows": [["a", "1,234 ms"], ["b", "not installed"]]}
    assert runner.figures({"tables": [table]}) == {("a", "ms"): [1234.0]}
