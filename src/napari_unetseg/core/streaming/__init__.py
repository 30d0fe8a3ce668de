"""Images larger than memory: a recipe block by block, from disk to disk."""

from napari_unetseg.core.streaming.cost_estimate import Cost, estimate
from napari_unetseg.core.streaming.large_images import ByBlocks, run_source_of, too_large
from napari_unetseg.core.streaming.resume import can_resume
from napari_unetseg.core.streaming.run_source import RunSource
from napari_unetseg.core.streaming.runners import Here, Runner
from napari_unetseg.core.streaming.stream_recipe import Streamed, stream

__all__ = [
    "ByBlocks",
    "Cost",
    "Here",
    "RunSource",
    "Runner",
    "Streamed",
    "can_resume",
    "estimate",
    "run_source_of",
    "stream",
    "too_large",
]
