"""Define `cells`: pair nuclei with cells, and write a table with a row for each cell."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from napari_unetseg.cli.console import for_each, note, say
from napari_unetseg.cli.file_pairs import ListPairs, list_pairs, pair_files
from napari_unetseg.cli.flags import with_options
from napari_unetseg.cli.image_flags import read_seen, read_seen_labels, with_image_flags
from napari_unetseg.core.atomic_files import check_output
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import (
    expand_inputs,
    stem_of,
    wants_folder,
    write_labels,
    write_table,
    writing_together,
)
from napari_unetseg.core.io.image_step import ImageStep
from napari_unetseg.core.io.table_files import check_table_name
from napari_unetseg.core.measure import (
    CellMeasureOptions,
    Table,
    copy_calibration,
    is_flat,
    measure_cells,
    scale_notes,
    stacked_tables,
)
from napari_unetseg.core.objects.compartments import find_compartments
from napari_unetseg.core.progress import Progress, part

_COMPARTMENTS = ("nuclei", "cells", "cytoplasm")


@with_image_flags
@with_options(CellMeasureOptions)
def cells_command(
    nuclei: Annotated[
        str,
        typer.Argument(metavar="NUCLEI", help="Labels of nuclei: a file, folder or quoted glob."),
    ],
    cells: Annotated[
        str | None,
        typer.Argument(
            metavar="[CELLS]",
            help="Labels of the cells, or with --method mask their foreground: a file, folder or "
            "glob, paired by name. Not with --method grow.",
            show_default=False,
        ),
    ] = None,
    *,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="Images to measure intensities in, in all their channels: a file, folder or glob, "
            "paired by name.",
        ),
    ] = None,
    boundaries_in: Annotated[
        str,
        typer.Option(
            metavar="CHANNEL",
            help="Channel of the images in which --boundary bright or dark is followed: its name, "
            "or its number counted from 0.",
        ),
    ] = "0",
    options: CellMeasureOptions,
    seen: ImageStep,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="TABLE",
            help="A .csv or .tsv file: one row per cell, for all images.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Also write the paired label images, in the folders nuclei, cells and cytoplasm: "
            "what belongs together has one number.",
        ),
    ] = None,
    pairs: ListPairs = False,
) -> None:
    """Pair nuclei with cells, and measure cell, nucleus and cytoplasm of each, in one row.

    The cytoplasm is the cell without its nuclei. Cells without a nucleus and nuclei outside of
    cells are counted in the output.
    """
    check_table_name(out)
    if (cells is None) != (options.method == "grow"):
        raise InputError(
            "--method grow makes the cells of the nuclei alone. Leave CELLS out."
            if cells is not None
            else f"--method {options.method} needs CELLS as well as NUCLEI. Name them, or grow "
            "cells from the nuclei with --method grow."
        )
    if image is None and options.boundary != "middle":
        raise InputError(f"--boundary {options.boundary} is followed in an image. Give --image.")
    sources = _Sources(nuclei, cells, image)
    if pairs:
        if cells is None and image is None:
            raise InputError("--pairs lists files that belong together. Name CELLS or --image too.")
        return list_pairs(sources.pairs)
    targets = _targets(labels, sources.stems)
    for target in (out, *targets):
        if target.resolve() in sources.all:
            raise InputError(f"{target} is one of the files to read. Choose another output.")
    for target in (out, *targets[:3]):
        check_output(target)
    tables: dict[str, Table] = {}

    def work(number: int, path: Path, progress: Progress) -> str:
        seeds, regions, values = sources.read(number, seen)
        others = {"the cells": regions, "image": values}
        there = {name: one for name, one in others.items() if one is not None}
        for remark in scale_notes(seeds, there, flat=is_flat(seeds, options)):
            note(f"{path}: {remark}")
        follows = values is not None and options.boundary != "middle"
        channel = values.channels(boundaries_in) if values is not None and follows else None
        found = find_compartments(
            seeds, regions, options, image=channel, progress=part(progress, 0, 0.3)
        )
        table = measure_cells(found, values, options, progress=part(progress, 0.3, 0.9))
        if labels is not None:
            with writing_together():
                for kind in _COMPARTMENTS:
                    target = _target(labels, kind, sources.stems[number])
                    write_labels(target, getattr(found, kind))
        tables[sources.stems[number]] = table
        return f"{path}: {found.summary()}"

    many = wants_folder([nuclei])
    with nullcontext() if many else writing_together():
        try:
            for_each(sources.nuclei, work)
        except typer.Exit:
            # Some of several images failed, with their errors printed: the table has the others.
            if tables:
                _write(out, tables, many)
            raise
        _write(out, tables, many)


class _Sources:
    """The files of nuclei, and the cells and images that belong to each."""

    def __init__(self, nuclei: str, cells: str | None, image: str | None) -> None:
        self.nuclei = [Path(path) for path in expand_inputs([nuclei])]
        self.pairs = []
        self._others: dict[str, dict[Path, Path]] = {}
        for name, given in (("cells", cells), ("images", image)):
            if given is None:
                continue
            paired = pair_files(nuclei, given, names=("nuclei", name))
            self.pairs += paired
            self._others[name] = {pair.first: pair.second for pair in paired}
            self.nuclei = [path for path in self.nuclei if path in self._others[name]]
        self.stems = [stem_of(path) for path in self.nuclei]
        twice = next((stem for stem in self.stems if self.stems.count(stem) > 1), None)
        if twice is not None:
            raise InputError(
                f"Several files are named {twice!r}, so their rows could not be distinguished. "
                "Rename one, or choose one kind with a quoted glob such as '*.tif'."
            )
        if not self.nuclei:
            raise InputError("No file of nuclei has both its cells and its image. Check the names.")

    @property
    def all(self) -> set[Path]:
        """All files to read."""
        others = [path for paths in self._others.values() for path in paths.values()]
        return {path.resolve() for path in [*self.nuclei, *others]}

    def read(self, number: int, seen: ImageStep) -> tuple[Image, Image | None, Image | None]:
        """Read the nuclei, cells and image of a number; the pixel size is the calibrated one's."""
        path = self.nuclei[number]
        seeds = read_seen_labels(path, seen, note, alone=not self._others)
        cells, image = (self._others.get(name, {}).get(path) for name in ("cells", "images"))
        regions = None if cells is None else read_seen_labels(cells, seen, note)
        values = None if image is None else read_seen(image, seen)
        calibrated = [one for one in (values, regions) if one is not None]
        return copy_calibration(seeds, calibrated), regions, values


def _targets(folder: Path | None, stems: list[str]) -> list[Path]:
    if folder is None:
        return []
    if folder.is_file() or folder.suffix:
        raise InputError(f"--labels {folder} names a file. Give the name of a folder.")
    return [_target(folder, kind, stem) for stem in stems for kind in _COMPARTMENTS]


def _target(folder: Path, kind: str, stem: str) -> Path:
    return folder / kind / f"{stem}.tif"


def _write(out: Path, tables: dict[str, Table], many: bool) -> None:
    columns = dict(stacked_tables(tables)) if many else next(iter(tables.values()))
    write_table(out, columns)
    n = len(columns["label"])
    of = f" of {len(tables)} image{'' if len(tables) == 1 else 's'}" if many else ""
    say(f"{out}: {n} row{'' if n == 1 else 's'}{of}")


__all__ = ["cells_command"]
