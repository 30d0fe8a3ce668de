"""Define `measure`: write a table of objects, and their outlines for other programs."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
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
    write_geojson,
    write_rois,
    write_table,
    writing_together,
)
from napari_unetseg.core.io.image_step import ImageStep
from napari_unetseg.core.io.roi_files import check_geojson_name, check_rois_name
from napari_unetseg.core.io.table_files import check_table_name
from napari_unetseg.core.measure import (
    MeasureOptions,
    Table,
    copy_calibration,
    is_flat,
    measure,
    measure_tracks,
    scale_notes,
    stacked_tables,
)
from napari_unetseg.core.objects.outlines import outlines
from napari_unetseg.core.progress import Progress, part

_NAMES = ("labels", "images")


@with_image_flags
@with_options(MeasureOptions)
def measure_command(
    labels: Annotated[
        str,
        typer.Argument(metavar="LABELS", help="Objects: a file, a folder or a quoted glob."),
    ],
    image: Annotated[
        str | None,
        typer.Argument(
            metavar="[IMAGE]",
            help="Images to measure intensities in: a file, folder or glob, paired by name. "
            "Without them, no intensities are measured.",
            show_default=False,
        ),
    ] = None,
    *,
    options: MeasureOptions,
    seen: ImageStep,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="TABLE",
            help="A .csv or .tsv file: one row per object, for all images.",
            show_default=False,
        ),
    ],
    tracks: Annotated[
        Path | None,
        typer.Option(
            metavar="TRACKS",
            help="Also write a .csv or .tsv file with one row per track, of objects that are "
            "linked over time: begin, end, mother, path and speed.",
        ),
    ] = None,
    rois: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.zip",
            help="Also write outlines for ImageJ's ROI Manager; a folder for several images.",
        ),
    ] = None,
    geojson: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.geojson",
            help="Also write outlines and measurements for QuPath; a folder for several images.",
        ),
    ] = None,
    pairs: ListPairs = False,
) -> None:
    """Measure every object: size, shape, position and intensities, in physical units.

    Column names end in their unit (area_um2). Without a calibration the unit is the pixel; a
    calibration of only one of the two files is used for both; where they differ, that of LABELS.
    A mask is one object: label it first.
    """
    check_table_name(out)
    if tracks is not None:
        check_table_name(tracks)
        _check_apart(tracks, out)
    if pairs:
        if image is None:
            raise InputError("--pairs lists labels with their images. Name the images too.")
        list_pairs(pair_files(labels, image, names=_NAMES))
        return
    stems, files, images = _inputs(labels, image)
    many = wants_folder([labels])
    sources = [*files, *images]
    for output in (out, tracks):
        if output is not None:
            _check_free(output, sources)
    zips = _outputs(rois, stems, many, ".zip", sources)
    maps = _outputs(geojson, stems, many, ".geojson", sources)
    for output in (out, tracks, *zips[:1], *maps[:1]):
        if output is not None:
            check_output(output)
    tables: dict[str, Table] = {}
    followed: dict[str, Table] = {}

    def work(number: int, path: Path, progress: Progress) -> str:
        objects, values = _read(path, images[number] if images else None, seen)
        flat = is_flat(objects, options)
        of_images = {} if values is None else {images[number].name: values}
        for remark in scale_notes(objects, of_images, flat=flat):
            note(f"{path}: {remark}")
        table = measure(objects, values, options, progress=part(progress, 0, 0.8))
        if tracks is not None:
            followed[stems[number]] = measure_tracks(table)
        with writing_together():
            if zips and len(table["label"]):
                write_rois(zips[number], outlines(objects, progress=part(progress, 0.8, 0.9)))
            if maps:
                outlined = outlines(objects, progress=part(progress, 0.9, 1))
                write_geojson(maps[number], outlined, table, name=stems[number])
        tables[stems[number]] = table
        return f"{path}: {_summarise_table(table)}"

    with nullcontext() if many else writing_together():
        try:
            for_each(files, work)
        except typer.Exit:
            # Some of several images failed, with their errors printed: the table has the others.
            if tables:
                _write(out, tables, many)
                _write_tracks(tracks, followed, many)
            raise
        _write(out, tables, many)
        _write_tracks(tracks, followed, many)


def _inputs(labels: str, image: str | None) -> tuple[list[str], list[Path], list[Path]]:
    if image is None:
        files = expand_inputs([labels])
        stems = [stem_of(path) for path in files]
        twice = next((stem for stem in stems if stems.count(stem) > 1), None)
        if twice is not None:
            raise InputError(
                f"Several files are named {twice!r}, so their rows could not be distinguished. "
                "Rename one, or choose one kind with a quoted glob such as '*.tif'."
            )
        return stems, files, []
    pairs = pair_files(labels, image, names=_NAMES)
    return (
        [pair.stem for pair in pairs],
        [pair.first for pair in pairs],
        [pair.second for pair in pairs],
    )


def _read(path: Path, image: Path | None, seen: ImageStep) -> tuple[Image, Image | None]:
    """Read labels and their image; the pixel size is taken from the calibrated one."""
    objects = read_seen_labels(path, seen, note, alone=image is None)
    values = None if image is None else read_seen(image, seen)
    return (objects if values is None else copy_calibration(objects, [values])), values


def _outputs(
    target: Path | None, stems: Sequence[str], many: bool, suffix: str, sources: Sequence[Path]
) -> list[Path]:
    """Name the output file of each image: `place` for one image, inside `place` for several."""
    if target is None:
        return []
    if not many:
        check = check_rois_name if suffix == ".zip" else check_geojson_name
        check(target)
        _check_free(target, sources)
        return [target]
    if target.suffix or target.is_file():
        raise InputError(
            f"Several images give several {suffix} files, which go into a folder, but {target} "
            "names a file. Give the name of a folder."
        )
    return [target / f"{stem}{suffix}" for stem in stems]


def _check_free(output: Path, sources: Sequence[Path]) -> None:
    if os.path.realpath(output) in map(os.path.realpath, sources):
        raise InputError(f"{output} is one of the files to read. Choose another output.")


def _write(out: Path, tables: dict[str, Table], many: bool) -> None:
    columns: dict[str, Any] = dict(stacked_tables(tables)) if many else next(iter(tables.values()))
    write_table(out, columns)
    n = len(columns["label"])
    of = f" of {len(tables)} image{'' if len(tables) == 1 else 's'}" if many else ""
    say(f"{out}: {n} row{'' if n == 1 else 's'}{of}")
    if n and all(len(np.unique(table["label"])) == 1 for table in tables.values()):
        note(
            "The labels of each image have a single id, so one object. If they are masks, label "
            "their objects first (threshold --as objects)."
        )


def _write_tracks(out: Path | None, tables: dict[str, Table], many: bool) -> None:
    if out is None or not tables:
        return
    write_table(out, dict(stacked_tables(tables)) if many else next(iter(tables.values())))
    say(f"{out}: {sum(len(table['label']) for table in tables.values())} tracks")


def _check_apart(tracks: Path, out: Path) -> None:
    if tracks.resolve() == out.resolve():
        raise InputError(f"{out} would be both the objects and the tracks. Name another file.")


def _summarise_table(table: Table) -> str:
    n = len(table["label"])
    if not n:
        return "no objects"
    size = next(name for name in table if name.startswith(("area_", "volume_")))
    summary = f"{n} object{'' if n == 1 else 's'}, median {size} {np.median(table[size]):.4g}"
    if "mean" in table:
        summary += f", mean intensity {np.nanmean(table['mean']):.4g}"
    return summary
