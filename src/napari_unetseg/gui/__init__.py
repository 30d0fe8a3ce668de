"""The napari docks. Importing this package alone loads neither napari nor Qt."""
