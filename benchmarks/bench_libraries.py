"""What the package writes itself beside a library that does the same: time, and the same result?

    python benchmarks/bench_libraries.py [NAME...] [--rounds 5]

Both are run in turn in one process, and the best of the rounds is shown; the ratio is the library's
time over ours, so above 1 ours is faster. A library that is not installed is said to be so: none of
them is needed by the package. The last table gives what a library would add to an installation.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from packaging.requirements import Requirement
from scipy import ndimage

Run = Callable[[], Any]
Same = Callable[[Any, Any], object]
Case = tuple[str, Run, str, Run, Same]
"""A job, ours, a library's name, the library's, and whether both results are one."""

ADDED = (
    "connected-components-3d", "fastremap", "fill-voids", "shapely", "ome-types", "safetensors",
    "bioimageio.spec", "onnx", "pandas", "scikit-learn", "ruamel.yaml", "loky", "platformdirs",
)  # fmt: skip


def blobs(shape: tuple[int, ...], sigma: float = 4.0, seed: int = 0) -> Any:
    """Return a mask of touching and hollow objects, which cover about two fifths of it."""
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, sigma)
    return smooth > 0.25 * smooth.std()


def one_to_one(ours: Any, theirs: Any) -> str:
    """Compare two label images."""
    if np.array_equal(ours, theirs):
        return "same"
    pairs = np.unique(np.stack([np.ravel(ours), np.ravel(theirs)]), axis=1)
    matched = len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
    return (
        "same objects, other ids" if matched else f"{np.mean(ours != theirs):.1%} of pixels differ"
    )


def equal(ours: Any, theirs: Any) -> str:
    """Compare two arrays."""
    return "same" if np.array_equal(ours, theirs) else "differ"


def alike(ours: Any, theirs: Any) -> str:
    """Compare anything else."""
    return "same" if ours == theirs else "differ"


def close(ours: Any, theirs: Any) -> str:
    """Compare two arrays of floats."""
    return f"within {np.max(np.abs(np.asarray(ours) - np.asarray(theirs))):.1g}"


def labelling() -> Iterator[Case]:
    """Label and clean masks."""
    from skimage.measure import label as skimage_label

    from napari_unetseg.core.objects.masks import clean, label

    for shape in ((4096, 4096), (64, 512, 512)):
        mask, name = blobs(shape), "x".join(map(str, shape))
        every = 8 if len(shape) == 2 else 26

        def compiled(mask: Any = mask, every: int = every) -> Any:
            import cc3d

            return cc3d.connected_components(mask, connectivity=every)

        yield (
            f"label, {name}", lambda mask=mask: label(mask)[0],
            "connected-components-3d", compiled, one_to_one,
        )  # fmt: skip
        yield (
            f"label, {name}", lambda mask=mask: label(mask)[0],
            "scikit-image", lambda mask=mask: skimage_label(mask), one_to_one,
        )  # fmt: skip

        def cleaned(mask: Any = mask, every: int = every, voids: bool = False) -> Any:
            import cc3d

            if voids:
                import fill_voids

                filled = fill_voids.fill(mask)
            else:
                filled = ndimage.binary_fill_holes(mask)
            labels = cc3d.connected_components(filled, connectivity=every)
            kept = np.bincount(labels.ravel()) >= 50
            for axis in range(labels.ndim):
                for end in (0, -1):
                    kept[np.unique(np.take(labels, end, axis))] = False
            kept[0] = False
            return kept[labels]

        def ours(mask: Any = mask) -> Any:
            return clean(mask, fill_holes=True, min_size=50, clear_border=True)[0]

        yield f"holes, size, border, {name}", ours, "connected-components-3d, scipy", cleaned, equal
        yield (
            f"holes, size, border, {name}", ours, "connected-components-3d, fill-voids",
            lambda cleaned=cleaned: cleaned(voids=True), equal,
        )  # fmt: skip


def watersheds() -> Iterator[Case]:
    """Divide objects at their waists, and let seeds grow."""
    import edt
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    from napari_unetseg.core.objects.masks import label
    from napari_unetseg.core.objects.watershed import basins, grow_seeds

    mask = blobs((1024, 1024))
    distance = edt.edt(mask)

    def flooded() -> Any:
        seeds, _ = label(h_maxima(distance, 0.75))
        return watershed(-distance, seeds, connectivity=2, mask=mask)

    yield (
        "divide at waists, 1024x1024", lambda: basins(distance, 0.0, 0.75),
        "scikit-image", flooded, one_to_one,
    )  # fmt: skip
    seeds, _ = label(distance > 4)
    yield (
        "grow seeds, 1024x1024", lambda: grow_seeds(seeds, mask), "scikit-image",
        lambda: watershed(np.zeros(mask.shape), seeds, connectivity=2, mask=mask), one_to_one,
    )  # fmt: skip


def polygons() -> Iterator[Case]:
    """Trace objects along the edges of their pixels."""
    from skimage.measure import find_contours, regionprops

    from napari_unetseg.core.image import Image
    from napari_unetseg.core.objects.masks import label
    from napari_unetseg.core.objects.outlines import outlines

    labels, n = label(blobs((512, 512)))
    image = Image.of(labels, "YX")

    def areas_of_ours() -> Any:
        return np.array([one.area for one in outlines(image)])

    def boxes_joined() -> Any:
        import shapely

        order = np.argsort(labels, axis=None, kind="stable")
        order = order[np.count_nonzero(labels == 0) :]
        y, x = np.divmod(order, labels.shape[1])
        squares = shapely.box(x, y, x + 1, y + 1)
        starts = np.cumsum(np.bincount(labels.ravel())[1:])[:-1]
        return np.array([shapely.unary_union(some).area for some in np.split(squares, starts)])

    def contours() -> Any:
        found = []
        for region in regionprops(labels):
            rings = find_contours(np.pad(region.image, 1).astype(np.uint8), 0.5)
            found.append(
                sum(float(np.sum(r[:-1, 1] * r[1:, 0] - r[1:, 1] * r[:-1, 0])) for r in rings) / 2
            )
        return np.abs(found)

    yield f"outlines of {n} objects (areas)", areas_of_ours, "shapely", boxes_joined, close
    yield f"outlines of {n} objects (areas)", areas_of_ours, "scikit-image", contours, close


def measurements() -> Iterator[Case]:
    """Measure, and count which ids meet."""
    from skimage.measure import regionprops_table

    from napari_unetseg.core.image import Image
    from napari_unetseg.core.measure import MeasureOptions, measure
    from napari_unetseg.core.objects.masks import label
    from napari_unetseg.core.scoring.overlap import overlap_of

    labels, n = label(blobs((2048, 2048)))
    light = np.random.default_rng(0).random(labels.shape, np.float32)
    image, channel = Image.of(labels, "YX"), Image.of(light, "YX")
    wanted = ("label", "area", "bbox", "centroid", "axis_major_length", "intensity_mean")

    def ours() -> Any:
        options = MeasureOptions(outline=False, hull=False, median=False)
        return measure(image, {"": channel}, options)["pixels"]

    yield (
        f"measure {n} objects", ours, "scikit-image",
        lambda: regionprops_table(labels, light, properties=wanted)["area"], equal,
    )  # fmt: skip
    moved = np.roll(labels, 3, axis=1)

    def contingency() -> Any:
        from sklearn.metrics.cluster import contingency_matrix

        table = contingency_matrix(labels.ravel(), moved.ravel(), sparse=True)
        return np.sort(table[1:, 1:].data)

    yield (
        "which objects meet, 2048x2048", lambda: np.sort(overlap_of(labels, moved).pixels),
        "scikit-learn", contingency, equal,
    )  # fmt: skip


def scores() -> Iterator[Case]:
    """Compare two label images, and smooth one of light."""
    from skimage.metrics import adapted_rand_error, hausdorff_distance, variation_of_information

    from napari_unetseg.core.background.gaussian import gaussian
    from napari_unetseg.core.objects.masks import label
    from napari_unetseg.core.scoring.boundary_scores import boundary_scores, mark_boundary
    from napari_unetseg.core.scoring.overlap import overlap_of
    from napari_unetseg.core.scoring.partition_scores import partition_scores

    truth, _ = label(blobs((1024, 1024)))
    moved = np.roll(truth, 3, axis=1)

    def partition() -> Any:
        found = partition_scores(overlap_of(moved, truth))
        return (found.rand_error, found.vi_split, found.vi_merge)

    def by_skimage() -> Any:
        split, merge = variation_of_information(truth, moved, ignore_labels=(0,))
        return (adapted_rand_error(truth, moved, ignore_labels=(0,))[0], split, merge)

    def farthest() -> float:
        return float(hausdorff_distance(mark_boundary(moved), mark_boundary(truth)))

    yield "partition scores, 1024x1024", partition, "scikit-image", by_skimage, close
    yield (
        "Hausdorff distance, 1024x1024", lambda: boundary_scores(moved, truth).hausdorff,
        "scikit-image", farthest, close,
    )  # fmt: skip
    light = np.random.default_rng(0).random((2048, 2048), np.float32)
    for sigma in (2, 16):
        yield (
            f"Gaussian of {sigma} pixels, 2048x2048", lambda sigma=sigma: gaussian(light, sigma),
            "scipy", lambda sigma=sigma: ndimage.gaussian_filter(light, sigma), close,
        )  # fmt: skip


def regression() -> Iterator[Case]:
    """Fit a logistic regression on the pixels of scribbles."""
    from napari_unetseg.core.compute.newton import Problem, mean_cross_entropy, minimise

    rng, n, features = np.random.default_rng(0), 20_000, 24
    inputs = rng.standard_normal((n, features))
    truth = inputs @ rng.standard_normal(features) + rng.standard_normal(n) * 2 > 0
    price = 1e-3
    problem = Problem(inputs, truth[:, None].astype(float), np.full(n, 1 / n), price)

    def loss(theta: Any) -> float:
        fit = mean_cross_entropy(problem, theta)
        return fit + price / 2 * float(np.sum(np.square(theta[:, :-1])))

    def ours() -> float:
        return loss(minimise(problem, np.zeros((1, features + 1))))

    def theirs(solver: str) -> float:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=1 / (n * price), solver=solver, tol=1e-6, max_iter=1000)
        model.fit(inputs, truth)
        return loss(np.column_stack([model.coef_, model.intercept_]))

    for solver in ("newton-cholesky", "lbfgs"):
        yield (
            "logistic regression, 20,000 pixels", ours, f"scikit-learn ({solver})",
            lambda solver=solver: theirs(solver), close,
        )  # fmt: skip


def weights() -> Iterator[Case]:
    """Read the weights of a network of 8 million numbers."""
    from napari_unetseg.core.models_io.native.state_dict import read_state_dict, write_state_dict

    rng = np.random.default_rng(0)
    state = {f"layer.{k}.weight": rng.random((256, 256, 3, 3), np.float32) for k in range(14)}
    data = write_state_dict(state)

    def total(found: Any) -> int:
        return sum(int(np.prod(one.shape)) for one in found.values())

    def by_torch() -> int:
        import torch

        return total(torch.load(io.BytesIO(data), weights_only=True))

    def other_format() -> Run:
        from safetensors.numpy import load, save

        other = save(state)
        return lambda: total(load(other))

    yield "read weights, 33 MB", lambda: total(read_state_dict(data)), "torch", by_torch, equal
    held: list[Run] = []

    def by_safetensors() -> int:
        if not held:
            held.append(other_format())
        return held[0]()

    yield (
        "read weights, 33 MB", lambda: total(read_state_dict(data)),
        "safetensors (another format)", by_safetensors, equal,
    )  # fmt: skip


def texts() -> Iterator[Case]:
    """Read descriptions and tables."""
    import yaml

    from napari_unetseg.core.io.table_files import write_table
    from napari_unetseg.core.io.tiff_files import read_tiff, write_tiff
    from napari_unetseg.core.models_io.native.npy_arrays import npy_bytes, read_npy
    from napari_unetseg.core.models_io.native.plain_yaml import read_yaml, yaml_bytes

    axes = [{"id": f"axis {k}", "size": {"min": 16, "step": 16}, "halo": k} for k in range(200)]
    text = yaml_bytes({"type": "model", "axes": axes})

    def by_ruamel() -> Any:
        from ruamel.yaml import YAML

        return YAML(typ="safe", pure=True).load(text)

    yield (
        "read YAML, 16 kB", lambda: read_yaml(text, "It"), "pyyaml",
        lambda: yaml.load(text, Loader=yaml.CSafeLoader), alike,
    )  # fmt: skip
    yield (
        "read YAML, 16 kB", lambda: read_yaml(text, "It"), "ruamel.yaml", by_ruamel,
        alike,
    )  # fmt: skip
    array = np.random.default_rng(0).random((1, 3, 512, 512), np.float32)
    raw = npy_bytes(array)
    yield (
        "read .npy, 3 MB", lambda: read_npy(raw, "It"), "numpy",
        lambda: np.load(io.BytesIO(raw), allow_pickle=False), equal,
    )  # fmt: skip
    rng, folder = np.random.default_rng(0), Path(tempfile.mkdtemp())
    table: dict[str, Any] = {"label": np.arange(20_000)}
    table |= {f"column_{k}": rng.random(20_000) for k in range(20)}

    def by_ours() -> str:
        write_table(folder / "ours.csv", table)
        return (folder / "ours.csv").read_text("utf-8").replace("\r\n", "\n")

    def by_pandas() -> str:
        import pandas

        pandas.DataFrame(table).to_csv(folder / "theirs.csv", index=False)
        return (folder / "theirs.csv").read_text("utf-8").replace("\r\n", "\n")

    yield (
        "write a table, 20,000 rows",
        by_ours,
        "pandas",
        by_pandas,
        alike,
    )
    from napari_unetseg.core.image import Image

    picture = Image.of(np.zeros((8, 64, 64), np.float64), "ZYX", spacing=(2, 0.5, 0.5), unit="µm")
    write_tiff(folder / "stack.ome.tif", picture)

    def by_ome_types() -> Any:
        import ome_types

        pixels = ome_types.from_tiff(folder / "stack.ome.tif").images[0].pixels
        return (pixels.physical_size_z, pixels.physical_size_y, pixels.physical_size_x)

    yield (
        "calibration of an OME-TIFF", lambda: read_tiff(folder / "stack.ome.tif").spacing,
        "ome-types (calibration alone)", by_ome_types, lambda a, b: alike(tuple(a), b),
    )  # fmt: skip


def descriptions() -> Iterator[Case]:
    """Read the description of a model package that ships."""
    import napari_unetseg
    from napari_unetseg.core.models_io.foreign.foreign_description import parse_description
    from napari_unetseg.core.models_io.native.plain_yaml import read_yaml
    from napari_unetseg.core.models_io.native.zip_archive import Archive

    path = Path(napari_unetseg.__file__).parent / "shipped" / "nuclei.zip"
    with path.open("rb") as file, Archive(file, "It", max_bytes=2**28) as archive:
        text = archive.read("rdf.yaml", 2**20)

    def by_spec() -> Any:
        with redirect_stderr(io.StringIO()):
            from bioimageio.spec import ValidationContext, build_description

            content = read_yaml(text, "It")
            context = ValidationContext(perform_io_checks=False)
            return len(build_description(content, context=context).inputs)

    yield (
        "read a model's description", lambda: len(parse_description(read_yaml(text, "It")).inputs),
        "bioimageio.spec", by_spec, equal,
    )  # fmt: skip


def onnx_files() -> Iterator[Case]:
    """Look into an ONNX file without running it."""
    from napari_unetseg.core.models_io.foreign.onnx_file import read_onnx

    def made() -> bytes:
        from onnx import TensorProto, helper, numpy_helper

        ports = [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, 64, 64]) for n in ("x", "y")
        ]
        kernel = np.random.default_rng(0).random((1, 1, 3, 3), np.float32)
        held = [numpy_helper.from_array(kernel, "w")]
        held += [
            numpy_helper.from_array(np.zeros((512, 512, 3, 3), np.float32), f"u{k}")
            for k in range(3)
        ]
        node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
        graph = helper.make_graph([node], "net", ports[:1], ports[1:], held)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)]
        ).SerializeToString()

    try:
        data = made()
    except ImportError:
        return

    def by_onnx() -> Any:
        import onnx

        model = onnx.load_from_string(data)
        onnx.checker.check_model(model)
        return len(model.graph.input)

    yield (
        "look into ONNX, 28 MB", lambda: len(read_onnx(data).inputs), "onnx", by_onnx, equal,
    )  # fmt: skip


ALL = {
    case.__name__: case
    for case in (
        labelling, watersheds, polygons, measurements, scores, regression, weights, texts,
        descriptions, onnx_files,
    )
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(ALL)}")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print("| job | ours, ms | library | its time, ms | ratio | result |\n|---|---|---|---|---|---|")
    for name in asked.names or ALL:
        for job, ours, library, theirs, same in ALL[name]():
            print(f"| {job} | {line(ours, library, theirs, same, asked.rounds)} |", flush=True)
    if not asked.names:
        print("\n| library | version | MB | with it, MB | imported in, ms |\n|---|---|---|---|---|")
        for name in ADDED:
            print(added(name), flush=True)
    return 0


def line(ours: Run, library: str, theirs: Run, same: Same, rounds: int) -> str:
    """Run both in turn, and return what is said of them."""
    mine = ours()
    try:
        other = theirs()
    except ImportError as error:
        return f"{1000 * best([ours], rounds)[0]:.2f} | {library} | not installed: {error.name} | |"
    one, two = best([ours, theirs], rounds)
    return (
        f"{1000 * one:.2f} | {library} | {1000 * two:.2f} | {two / one:.2f} | {same(mine, other)}"
    )


def best(runs: list[Run], rounds: int) -> list[float]:
    """Return the least seconds of each, run in turn."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, taken in zip(runs, seconds, strict=True):
            began = time.perf_counter()
            run()
            taken.append(time.perf_counter() - began)
    return [min(taken) for taken in seconds]


def added(name: str) -> str:
    """Return a row: what a library would add to an installation of the package."""
    try:
        own = distribution(name)
    except PackageNotFoundError:
        return f"| {name} | not installed | | | |"
    there = closure("napari-unetseg")
    extra = closure(name) - there
    module = {"connected-components-3d": "cc3d", "scikit-learn": "sklearn"}.get(
        name, name.replace("-", "_")
    )
    took = json.loads(
        subprocess.check_output(
            [
                sys.executable,
                "-c",
                "import time, numpy; a = time.perf_counter(); "
                f"import {module}; print(time.perf_counter() - a)",
            ],
            stderr=subprocess.DEVNULL,
        )
    )
    whole = sum(megabytes(each) for each in extra)
    others = len(extra - {plain(name)})
    return (
        f"| {name} | {own.version} | {megabytes(name):.1f} | {whole:.1f} ({others} more packages) "
        f"| {1000 * took:.0f} |"
    )


def plain(name: str) -> str:
    """Return a distribution's name as it is compared."""
    return name.lower().replace("_", "-").replace(".", "-")


def closure(name: str) -> set[str]:
    """Return the names of a distribution and of all that it requires."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = plain(waiting.pop())
        if one in found:
            continue
        try:
            required = distribution(one).requires or []
        except PackageNotFoundError:
            continue
        found.add(one)
        needs = [Requirement(text) for text in required]
        waiting += [
            need.name for need in needs if not need.marker or need.marker.evaluate({"extra": ""})
        ]
    return found


def megabytes(name: str) -> float:
    """Return how large the files of a distribution are."""
    paths = [Path(str(file.locate())) for file in distribution(name).files or []]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
