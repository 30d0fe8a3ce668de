"""Segmentation on plain arrays: usable from a notebook with neither napari nor Qt."""
