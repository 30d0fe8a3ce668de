"""Images larger than memory: a recipe block by block, from disk to disk."""

from napari_unetseg.core.streaming.estimate import Cost, estimate
from napari_unetseg.core.streaming.files import ByBlocks, source_of, too_large
from napari_unetseg.core.streaming.run import Streamed, can_resume, stream
from napari_unetseg.core.streaming.runners import Here, Runner
from napari_unetseg.core.streaming.source import Source

__all__ = [
    "ByBlocks",
    "Cost",
    "Here",
    "Runner",
    "Source",
    "Streamed",
    "can_resume",
    "estimate",
    "source_of",
    "stream",
    "too_large",
]
