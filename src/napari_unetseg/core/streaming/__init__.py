"""Images larger than memory: a recipe block by block, from disk to disk."""

from napari_unetseg.core.streaming.run import Streamed, stream
from napari_unetseg.core.streaming.runners import Here, Runner
from napari_unetseg.core.streaming.source import Source

__all__ = ["Here", "Runner", "Source", "Streamed", "stream"]
