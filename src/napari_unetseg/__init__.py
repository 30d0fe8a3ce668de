"""Interactive segmentation for napari: a ladder from a background surface to a UNet.

Importing this package loads neither torch, Qt nor napari; each name is loaded when first used.
"""
