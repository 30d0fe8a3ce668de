"""The command line: flags from options, one line for every mistake, files that read back."""

import os
import subprocess
import sys
from typing import Literal

import numpy as np
import pytest
import typer
from pydantic import Field
from skimage.filters import threshold_otsu

from napari_unetseg.cli import main
from napari_unetseg.cli.flags import with_options
from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, read_labels, write_image, write_labels
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.samples import neurons, nuclei
from napari_unetseg.core.threshold import ThresholdOptions


@pytest.fixture(scope="module")
def sample():
    return nuclei((160, 176), seed=1)


@pytest.fixture
def image(tmp_path, sample):
    path = tmp_path / "cells.tif"
    write_image(path, sample.as_image())
    return path


@pytest.fixture
def folder(tmp_path, sample):
    (tmp_path / "in").mkdir()
    for name in ("a.tif", "b.png", "c.ome.tif"):
        write_image(tmp_path / "in" / name, sample.as_image())
    return tmp_path / "in"


def run(*words):
    return main([str(word) for word in words])


class TestBackground:
    def test_flattens_one_image_into_a_file(self, image, tmp_path, capsys):
        out, surface = tmp_path / "flat.tif", tmp_path / "surface.tif"
        assert (
            run("background", image, "-o", out, "--terms", "quadratic", "--surface", surface) == 0
        )
        source = read_image(image)
        fitted = fit_background(source, BackgroundOptions(terms="quadratic"))
        flat = read_image(out)
        assert (flat.dtype, flat.spacing, flat.unit) == (np.float32, source.spacing, "µm")
        np.testing.assert_array_equal(flat.data, fitted.flatten(source).data)
        np.testing.assert_array_equal(read_image(surface).data, fitted.surface().data)
        said = capsys.readouterr()
        fit = "terms 1, x, y, x^2, x*y, y^2, ignoring bright objects"
        assert said.out.startswith(f"{out}: {fit}, flatness from ")
        assert said.out.count("\n") == 1
        assert said.err == ""

    def test_flattens_a_folder_into_a_folder(self, folder, tmp_path, capsys):
        out, surface = tmp_path / "flat", tmp_path / "surface"
        words = ("--terms", "plane", "--robust", "none", "--mode", "divide")
        assert run("background", folder, "-o", out, *words, "--surface", surface) == 0
        assert sorted(os.listdir(out)) == sorted(os.listdir(surface)) == ["a.tif", "b.tif", "c.tif"]
        assert capsys.readouterr().out.count("\n") == 3

    def test_leaves_masked_objects_out_of_the_fit(self, image, tmp_path, sample):
        masks = tmp_path / "masks"
        write_labels(masks / "cells.tif", Image.of(sample.objects))
        for mask in (masks, masks / "cells.tif"):
            out = tmp_path / "flat.tif"
            words = ("--terms", "plane", "--robust", "none", "--mask", mask)
            assert run("background", image, "-o", out, *words) == 0
            source = read_image(image)
            options = BackgroundOptions(terms="plane", robust="none")
            expected = fit_background(source, options, exclude=sample.objects).flatten(source)
            np.testing.assert_array_equal(read_image(out).data, expected.data)

    def test_writes_ome_zarr_from_ome_zarr(self, tmp_path, sample):
        write_image(tmp_path / "in.zarr", sample.as_image())
        out = tmp_path / "out.zarr"
        assert run("background", tmp_path / "in.zarr", "-o", out, "--terms", "plane") == 0
        assert read_image(out).shape == sample.image.shape
        assert read_image(out).spacing == sample.spacing

    def test_takes_a_stack_as_a_volume(self, tmp_path):
        stack = nuclei((6, 48, 48), seed=0)
        write_image(tmp_path / "stack.tif", stack.as_image())
        out = tmp_path / "flat.tif"
        words = ("--terms", "plane", "--per", "volume")
        assert run("background", tmp_path / "stack.tif", "-o", out, *words) == 0
        assert read_image(out).axes == "ZYX"


class TestThreshold:
    def test_gives_labels(self, image, tmp_path, sample, capsys):
        out = tmp_path / "labels.tif"
        assert run("threshold", image, "-o", out, "--method", "otsu", "--as", "classes") == 0
        labels = read_labels(out)
        assert (labels.dtype, labels.spacing) == (np.uint8, sample.spacing)
        np.testing.assert_array_equal(labels.data, sample.image > threshold_otsu(sample.image))
        assert f"{out}: otsu threshold " in capsys.readouterr().out

    def test_cleans_and_separates_objects(self, image, tmp_path, capsys):
        out = tmp_path / "labels.tif"
        cleaning = ("--sigma", 1, "--min-size", 20, "--fill-holes", "--clear-border", "--split")
        assert run("threshold", image, "-o", out, *cleaning, "--as", "objects") == 0
        labels = read_labels(out).data
        assert labels.max() > 1
        assert min(np.bincount(labels.ravel())[1:]) >= 20
        edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        assert not edge.any()
        assert f"{labels.max()} objects" in capsys.readouterr().out

    def test_takes_a_value_and_dark_objects(self, tmp_path):
        write_image(tmp_path / "a.tif", Image.of(np.array([[1, 5], [9, 12]], np.float32)))
        words = ("--method", "manual", "--value", 7, "--objects", "dark", "--as", "classes")
        assert run("threshold", tmp_path / "a.tif", "-o", tmp_path / "b.tif", *words) == 0
        np.testing.assert_array_equal(read_labels(tmp_path / "b.tif").data, [[1, 1], [0, 0]])

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("--value 300", "manual threshold 300"),
            ("--method manual --value 300", "manual threshold 300"),
            ("--value 300 --high 400", "hysteresis threshold 300, 400"),
            ("--classes 3", "multiotsu threshold "),
            ("--method otsu --split-depth 0.2", "otsu threshold "),
        ],
    )
    def test_a_flag_sets_what_it_depends_on(self, image, tmp_path, capsys, words, said):
        assert run("threshold", image, "-o", tmp_path / "labels.tif", *words.split()) == 0
        assert said in capsys.readouterr().out

    def test_takes_a_glob(self, folder, tmp_path):
        assert run("threshold", folder / "*.tif", "-o", tmp_path / "out") == 0
        assert sorted(os.listdir(tmp_path / "out")) == ["a.tif", "c.tif"]

    def test_takes_colour(self, tmp_path):
        picture = np.zeros((40, 40, 3), np.uint8)
        picture[10:20, 10:20] = 200
        write_image(tmp_path / "a.png", Image.of(picture))
        assert run("threshold", tmp_path / "a.png", "-o", tmp_path / "b.tif") == 0
        assert read_labels(tmp_path / "b.tif").shape == (40, 40)


class TestMistakes:
    """Each ends with status 2 and one line on standard error, and writes nothing."""

    @pytest.fixture
    def refused(self, tmp_path, capsys):
        def check(*words):
            before = sorted(tmp_path.rglob("*"))
            assert run(*words) == 2
            said = capsys.readouterr()
            assert said.out == ""
            assert said.err.startswith("error: ")
            assert said.err.count("\n") == 1
            assert sorted(tmp_path.rglob("*")) == before
            return said.err

        return check

    @pytest.mark.parametrize("command", ["background", "threshold"])
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("nan.npy", np.full((20, 20), np.nan)),
            ("point.npy", np.float64(1)),
            ("complex.npy", np.ones((20, 20), complex)),
            ("objects.npy", np.array([[None, {}]], dtype=object)),
            ("none.npy", np.ones((0, 20))),
            ("text.tif", b"this is no image"),
            ("empty.tif", b""),
            ("unknown.abc", b"this is no image"),
        ],
    )
    def test_bad_images(self, tmp_path, refused, command, name, content):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.save(path, content, allow_pickle=True)
        assert name in refused(command, path, "-o", tmp_path / "out.tif")

    def test_a_constant_image_has_no_threshold(self, tmp_path, refused):
        write_image(tmp_path / "flat.tif", Image.of(np.full((20, 20), 7, np.uint8)))
        assert "flat.tif" in refused("threshold", tmp_path / "flat.tif", "-o", tmp_path / "o.tif")

    def test_no_images(self, tmp_path, refused):
        (tmp_path / "empty").mkdir()
        for place in ("empty", "missing.tif", "*.tif"):
            assert place in refused("threshold", tmp_path / place, "-o", tmp_path / "out")

    @pytest.mark.parametrize(
        "words",
        [
            ("threshold", "--method", "magic"),
            ("threshold", "--min-size", "-5"),
            ("threshold", "--min-size", "many"),
            ("threshold", "--sigma", "-1"),
            ("threshold", "--as", "colours"),
            ("threshold", "--nonsense"),
            ("background", "--terms", "1,x,'q'"),
            ("background", "--robust", "maybe"),
            ("background", "--per", "day"),
        ],
    )
    def test_unknown_words_and_values_out_of_range(self, image, tmp_path, refused, words):
        line = refused(words[0], image, "-o", tmp_path / "out.tif", *words[1:])
        assert words[1] in line or words[-1].split(",")[-1] in line

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("--method otsu --value 3", "--method manual or --method hysteresis"),
            ("--value 3 --classes 4", "--method multiotsu"),
        ],
    )
    def test_flags_without_effect(self, image, tmp_path, refused, words, said):
        line = refused("threshold", image, "-o", tmp_path / "out.tif", *words.split())
        assert "has an effect only with" in line
        assert said in line

    def test_incomplete_commands(self, image, refused):
        assert "-o" in refused("threshold", image)
        refused("threshold")
        refused("polish", image)
        refused("threshold", image, "-o")

    def test_outputs_that_would_destroy_an_input(self, image, folder, refused):
        assert "destroy" in refused("threshold", image, "-o", image)
        assert "destroy" in refused("threshold", folder, "-o", folder)
        words = ("--mask", image, "--surface", image.with_name("x.tif"))
        assert "both" in refused("background", image, "-o", image.with_name("x.tif"), *words)
        other = image.with_name("mask.tif")
        assert "no file" in refused("background", image, "-o", other, "--mask", other)

    def test_one_refused_output_leaves_no_other(self, image, tmp_path, refused):
        flat, before = tmp_path / "flat.tif", sorted(tmp_path.rglob("*"))
        line = refused("background", image, "-o", flat, "--surface", tmp_path / "surface.png")
        assert ".png holds" in line
        table = tmp_path / "t.csv"
        for outlines in (("--rois", tmp_path / "r.zip"), ("--geojson", tmp_path / "r.geojson")):
            (tmp_path / "t.csv").mkdir(exist_ok=True)
            assert "is a folder" in refused("measure", image, "-o", table, *outlines)
        table.rmdir()
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_mask_of_another_shape(self, image, tmp_path, refused):
        write_labels(tmp_path / "mask.tif", Image.of(np.ones((3, 3), np.uint8)))
        words = ("--mask", tmp_path / "mask.tif", "--terms", "plane")
        assert "cells.tif" in refused("background", image, "-o", tmp_path / "o.tif", *words)

    def test_one_of_many_fails_alone(self, folder, tmp_path, capsys):
        (folder / "b.png").write_bytes(b"broken")
        assert run("threshold", folder, "-o", tmp_path / "out") == 2
        said = capsys.readouterr()
        assert sorted(os.listdir(tmp_path / "out")) == ["a.tif", "c.tif"]
        assert said.out.count("\n") == 2
        first, last = said.err.splitlines()
        assert "b.png" in first
        assert last.startswith("error: 1 of 3 images failed")

    @pytest.mark.parametrize("name", ["", "x" * 5000, "a\0", "\x1b[31m\u202e\n.tif"])
    @pytest.mark.parametrize(
        "words",
        [
            ("background", "?", "-o", "o.tif"),
            ("background", "IMAGE", "-o", "?"),
            ("threshold", "IMAGE", "-o", "?"),
            ("predict", "?", "IMAGE", "-o", "o.tif"),
            ("predict", "nuclei", "?", "-o", "o.tif"),
            ("measure", "?", "-o", "t.csv"),
            ("measure", "IMAGE", "?", "-o", "t.csv"),
            ("measure", "IMAGE", "-o", "?"),
            ("evaluate", "IMAGE", "?"),
            ("run", "?", "IMAGE", "-o", "out"),
            ("train", "?", "IMAGE", "-o", "m.zip"),
            ("train", "IMAGE", "IMAGE", "-o", "?"),
            ("compare", "IMAGE", "?"),
            ("train-on", "?", "-o", "m.zip"),
            ("info", "?"),
            ("export", "?", "-o", "m.zip"),
            ("models", "?"),
        ],
        ids=" ".join,
    )
    def test_names_that_no_file_has(self, words, name, image, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        given = {"?": name, "IMAGE": str(image)}
        status = run(*(given.get(word, word) for word in words))
        complaint = capsys.readouterr().err
        assert status == 2 or (status == 0 and "-o ?" in " ".join(words))
        assert complaint.count("\n") == (status == 2)
        assert len(complaint) < 1100
        assert complaint.rstrip("\n").isprintable()

    def test_interruption_leaves_no_half_file(self, image, tmp_path, capsys, monkeypatch):
        import tifffile

        def interrupted(path, *data, **options):
            path.write_bytes(b"half")
            raise KeyboardInterrupt

        out = tmp_path / "out"
        monkeypatch.setattr(tifffile, "imwrite", interrupted)
        assert run("threshold", image, "-o", out / "labels.tif") == 130
        assert not out.exists()
        assert "Interrupted" in capsys.readouterr().err


class TestHelp:
    @pytest.mark.parametrize(
        ("command", "options"), [("background", BackgroundOptions), ("threshold", ThresholdOptions)]
    )
    def test_says_every_option_in_its_own_words(self, command, options, capsys):
        assert run(command, "--help") == 0
        shown = " ".join(capsys.readouterr().out.split())
        for field in options.model_fields.values():
            assert " ".join(field.description.split())[:25] in shown

    @pytest.mark.parametrize(
        ("command", "flags"),
        [
            ("demo", "--out --headless"),
            ("background", "-o --terms --robust --mask --mode --per --surface"),
            (
                "threshold",
                "-o --method --value --objects --sigma --min-size --fill-holes --clear-border "
                "--split --as",
            ),
        ],
    )
    def test_has_the_flags_of_the_contract(self, command, flags, capsys):
        assert run(command, "--help") == 0
        shown = capsys.readouterr().out
        assert all(f"{flag}" in shown for flag in flags.split())

    def test_lists_the_commands(self, capsys):
        assert run() == run("--help") == 0
        shown = capsys.readouterr().out
        assert all(word in shown for word in ("demo", "background", "threshold"))

    def test_version(self, capsys):
        assert run("--version") == 0
        assert capsys.readouterr().out.startswith("napari-unetseg 0")

    def test_importing_it_loads_nothing_heavy(self):
        heavy = ("torch", "napari", "qtpy", "skimage", "numba", "dask", "scipy", "typer")
        code = f"import sys, napari_unetseg.cli; print([m for m in {heavy} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == "[]", done.stderr

    def test_asking_for_help_loads_no_libraries_of_images(self):
        heavy = ("torch", "napari", "qtpy", "skimage", "numba", "dask")
        code = (
            "import sys; from napari_unetseg.cli import main; main(['--help']); "
            f"print([m for m in {heavy} if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "[]", done.stderr

    @pytest.mark.parametrize(
        ("arguments", "heavy"),
        [
            (["predict", "nuclei"], ("torch._dynamo", "sympy", "napari_unetseg.cli.run_command")),
            (["threshold"], ("torch", "napari_unetseg.core.recipe", "skimage.measure")),
        ],
    )
    def test_a_command_loads_what_it_needs(self, tmp_path, arguments, heavy):
        image = np.indices((40, 40)).sum(0) % 20 * np.uint8(10)
        write_image(tmp_path / "a.tif", Image.of(image))
        given = [*arguments, str(tmp_path / "a.tif"), "-o", str(tmp_path / "made.tif")]
        code = (
            f"import sys; from napari_unetseg.cli import main; main({given}); "
            f"print([m for m in {heavy} if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "[]", done.stderr


class Everything(Options):
    """One field of every kind."""

    kind: Literal["one", "two"] = option("one", "Kind", "Which kind.")
    size: int = option(3, "Size", "How large.", ge=0, le=9, flag="how-big")
    share: float = option(0.5, "Share", "How much.", gt=0)
    whole: bool = option(False, "Whole", "All of it.")
    kept: bool = option(True, "Kept", "Keep it.")
    name: str = option("x", "Name", "A name.")
    limit: float | None = Field(None, title="Limit", description="Up to where.")


class TestFlags:
    @pytest.fixture
    def command(self):
        seen = []

        @with_options(Everything)
        def command(*, options: Everything) -> None:
            seen.append(options)

        app = typer.Typer(rich_markup_mode=None)
        app.command()(command)
        program = typer.main.get_command(app)

        def parse(*words):
            program.main(list(words), prog_name="x", standalone_mode=False)
            return seen[-1] if seen else None

        return parse

    def test_every_kind_of_field_round_trips(self, command):
        assert command() == Everything()
        words = "--kind two --how-big 7 --share 2.5 --whole --no-kept --name y"
        assert command(*words.split(), "--limit", "4") == Everything(
            kind="two", size=7, share=2.5, whole=True, kept=False, name="y", limit=4
        )

    def test_ranges_and_choices_are_in_the_help(self, command, capsys):
        command("--help")
        shown = " ".join(capsys.readouterr().out.split())
        assert "--kind one|two" in shown
        assert "How large. (from 0 to 9)" in shown
        assert "How much. (above 0)" in shown
        assert "--kept / --no-kept" in shown

    @pytest.mark.parametrize(
        ("words", "said"), [("--how-big 10", "--how-big 10: "), ("--kind three", "--kind 'three'")]
    )
    def test_mistakes_are_said_in_the_words_of_the_flag(self, command, words, said):
        with pytest.raises(ValueError, match=said):
            command(*words.split())


def test_the_lectures_case_end_to_end(tmp_path):
    """Raw micrograph in, labels out, and better than without the background."""
    from napari_unetseg.core.scoring.pixel_scores import dice

    sample = neurons((160, 160), seed=2)
    write_image(tmp_path / "raw.tif", sample.as_image())
    dark = ("--objects", "dark", "--sigma", 1, "--as", "classes")
    assert run("threshold", tmp_path / "raw.tif", "-o", tmp_path / "without.tif", *dark) == 0
    assert run("background", tmp_path / "raw.tif", "-o", tmp_path / "flat.tif") == 0
    assert run("threshold", tmp_path / "flat.tif", "-o", tmp_path / "with.tif", *dark) == 0
    scores = [
        dice(read_labels(tmp_path / f"{n}.tif").data, sample.mask) for n in ("without", "with")
    ]
    assert scores[1] > scores[0] + 0.2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit the size of a file")
def test_a_full_disk_leaves_what_was_there(tmp_path):
    """A limit on the size of files stands in for the disk: writing fails midway in the same way."""
    import resource

    noise = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    write_image(tmp_path / "noise.tif", Image.of(noise))
    out = tmp_path / "flat.tif"
    out.write_bytes(b"what was there")
    command = [sys.executable, "-m", "napari_unetseg.cli", "background", tmp_path / "noise.tif"]
    done = subprocess.run(
        [*command, "-o", out],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "disk is full" in " ".join(done.stderr.split())
    assert out.read_bytes() == b"what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat.tif", "noise.tif"]
