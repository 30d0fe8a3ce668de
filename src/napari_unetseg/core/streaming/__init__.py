"""Run recipes on images larger than memory, block by block from disk to disk."""

from napari_unetseg.core.streaming.cost_estimate import Cost, estimate
from napari_unetseg.core.streaming.large_images import (
    ByBlocks,
    expected_cost,
    make_run_source,
    too_large,
)
from napari_unetseg.core.streaming.resume import can_resume
from napari_unetseg.core.streaming.run_source import RunSource
from napari_unetseg.core.streaming.runners import LocalRunner, Runner
from napari_unetseg.core.streaming.stream_recipe import Streamed, stream

__all__ = [
    "ByBlocks",
    "Cost",
    "LocalRunner",
    "RunSource",
    "Runner",
    "Streamed",
    "can_resume",
    "estimate",
    "expected_cost",
    "make_run_source",
    "stream",
    "too_large",
]
