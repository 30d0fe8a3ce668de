"""File input and output: images, labels, tables, outlines, and pairing of inputs and outputs.

Each format has its own module, which loads its library on first use: `tiff_files`,
`ome_zarr_files` with `pyramid`, `image_files` for all others, `table_files` for tables, `roi_files`
for ImageJ ROIs and GeoJSON. The Measure dock offers them in `gui/measure/export_files.py`.
"""

from napari_unetseg.core.atomic_files import writing, writing_together
from napari_unetseg.core.io.image_files import (
    file_contents,
    keeps_calibration,
    may_be_lazy,
    read_image,
    read_labels,
    read_lazily,
    write_image,
    write_labels,
)
from napari_unetseg.core.io.pairing import pair_labels
from napari_unetseg.core.io.paths import (
    expand_inputs,
    is_image_path,
    plan_outputs,
    stem_of,
    wants_folder,
)
from napari_unetseg.core.io.roi_files import write_geojson, write_rois
from napari_unetseg.core.io.table_files import write_table

__all__ = [
    "expand_inputs",
    "file_contents",
    "is_image_path",
    "keeps_calibration",
    "may_be_lazy",
    "pair_labels",
    "plan_outputs",
    "read_image",
    "read_labels",
    "read_lazily",
    "stem_of",
    "wants_folder",
    "write_geojson",
    "write_image",
    "write_labels",
    "write_rois",
    "write_table",
    "writing",
    "writing_together",
]
