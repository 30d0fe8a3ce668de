"""Recipes as text: what is written is read back, and what is wrong is said with its line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.object_size import SizeOptions
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.recipe import (
    ImageStep,
    MeasurementStep,
    ModelStep,
    Recipe,
    RecipeError,
    ThresholdStep,
    model_file,
    model_step,
    parse_recipe,
    read_recipe,
    recipe_to_yaml,
    write_recipe,
)
from napari_unetseg.core.recipe import recipe_yaml as text

HEAD = "format: napari-unetseg recipe\nversion: 4\n"
HASH = "0" * 64


def values_of(field: FieldInfo) -> st.SearchStrategy:
    """Return values that a field takes: choices, or numbers within its bounds."""
    choices = getattr(field.annotation, "__args__", ())
    if choices:
        return st.sampled_from(choices)
    if field.annotation is bool:
        return st.booleans()
    bounds = {
        n: getattr(b, n) for b in field.metadata for n in ("ge", "gt", "le", "lt") if hasattr(b, n)
    }
    low = bounds.get("ge", bounds.get("gt", -1000))
    high = bounds.get("le", bounds.get("lt", low + 1000))
    if field.annotation is int:
        return st.integers(low, min(high, low + 10_000))
    outside = {"exclude_min": "gt" in bounds, "exclude_max": "lt" in bounds}
    return st.floats(low, high, allow_nan=False, **outside)


def any_of(options: type, *leave: str, **fixed: object) -> st.SearchStrategy:
    """Return options with any values but those of `leave`."""
    fields = {n: f for n, f in options.model_fields.items() if n not in (*leave, *fixed)}
    return st.fixed_dictionaries({n: values_of(f) for n, f in fields.items()}).map(
        lambda said: options(**said, **fixed)
    )


THRESHOLDS = any_of(ThresholdStep, "window", "values")
SIZES = tuple(SizeOptions.model_fields)
MODEL = {"what": "objects", "file": "models/unet é.zip", "sha256": HASH}
RECIPES = st.one_of(
    st.builds(
        Recipe,
        background=st.none() | any_of(BackgroundOptions, "terms"),
        threshold=THRESHOLDS,
        measurement=st.none() | any_of(MeasurementStep, "intensities"),
    ),
    st.builds(
        Recipe,
        background=st.none() | any_of(BackgroundOptions, "terms"),
        model=st.one_of(*(any_of(ModelStep, *set(SIZES) - {one}, **MODEL) for one in SIZES)),
        objects=st.none() | any_of(DecodeOptions),
    ),
)


@settings(deadline=None, max_examples=60)
@given(RECIPES)
def test_what_is_written_is_read_back_and_says_the_same(recipe: Recipe) -> None:
    once = parse_recipe(recipe_to_yaml(recipe))
    # What has no effect is not written, so that what has stands out; all else is the same.
    assert recipe_to_yaml(once) == recipe_to_yaml(recipe)
    assert parse_recipe(recipe_to_yaml(once)) == once


def test_a_step_has_its_defaults_where_nothing_is_said() -> None:
    recipe = parse_recipe(HEAD + "background:\nthreshold: {result: objects}\nmeasurement:\n")
    assert recipe.background == BackgroundOptions()
    assert recipe.measurement == MeasurementStep()
    assert recipe.makes_labels
    assert recipe.makes_objects


def test_levels_that_a_hand_set_are_kept() -> None:
    step = ThresholdStep(method="multiotsu", classes=3, values=(10.0, 20.5))
    recipe = parse_recipe(recipe_to_yaml(Recipe(threshold=step)))
    assert recipe.threshold == step


@pytest.mark.parametrize(
    ("said", "line", "words"),
    [
        ("background:\n  term: x\n", 4, "background has no option 'term'. Did you mean terms?"),
        ("treshold:\n  sigma: 1\n", 3, "no step 'treshold'. Did you mean threshold?"),
        ("threshold:\n  sigma: 99\n", 4, "threshold.sigma = 99"),
        ("threshold:\n  sigma: -.inf\n", 4, "threshold.sigma = -inf: give a finite number"),
        ("threshold:\n  min_size: 2.5\n", 4, "threshold.min_size = 2.5"),
        ("threshold:\n  min_size: '3'\n", 4, "threshold.min_size = '3'"),
        ("threshold:\n  fill_holes: 1\n", 4, "threshold.fill_holes = 1"),
        ("threshold:\n\n  method: ots\n", 5, "threshold.method = 'ots'"),
        ("threshold:\n  window: 4\n", 4, "threshold.window = 4 is even"),
        ("threshold:\n  value: 4\n", 4, "threshold.value has an effect only with"),
        ("threshold:\n  split_depth: 0.3\n", 4, "threshold.split: true"),
        ("threshold:\n  values: [1, 2]\n", 3, "takes 1 finite value"),
        ("threshold:\n  values: [.nan]\n", 3, "takes 1 finite value"),
        ("threshold: otsu\n", 3, "threshold = 'otsu': give options"),
        ("background:\n  terms: banana\n", 3, "'banana' is not a term"),
        ("model:\n  file: a.zip\n", 3, "model.sha256 is missing"),
        (f"model:\n  sha256: {HASH[1:]}\n  file: a.zip\n", 4, "model.sha256 ="),
        ("threshold:\n  sigma: 1\n  sigma: 2\n", 5, "threshold.sigma is given twice"),
        (
            f"model: {{file: a, sha256: '{HASH}', diameter: 9.0, auto_diameter: true}}\n",
            3,
            "model: diameter and auto_diameter each set the size",
        ),
        ("threshold:\n\tsigma: 1\n", 4, "cannot be read as YAML"),
        ("threshold: [\n", 4, "cannot be read as YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_field_and_its_line(
    said: str, line: int, words: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(HEAD + said)
    assert caught.value.line == line
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"Line {line}: ")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", "The recipe does nothing"),
        ("image: {channel: DAPI}\n", "The recipe does nothing"),
        (f"threshold:\nmodel: {{file: a, sha256: '{HASH}'}}\n", "a threshold and a model"),
        ("threshold:\nobjects:\n", "it needs a model with what: objects"),
        ("threshold:\nnormalisation:\n", "normalisation scales images for a model"),
        ("background:\nmeasurement:\n", "measurement needs labels"),
        ("threshold:\nmeasurement: {intensities: flattened}\n", "needs a background"),
    ],
)
def test_steps_that_do_not_go_together_are_refused(said: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        parse_recipe(HEAD + said)


@pytest.mark.parametrize(
    "hostile",
    [
        "a: &a [*a]\n",
        "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"c{k}: &c{k} [*b, *b]\n" for k in range(9)),
        "a: !!python/object/apply:os.system [echo]\n",
        "threshold: " + "[" * 5000 + "]" * 5000 + "\n",
        "threshold: {min_size: " + "9" * 5000 + "}\n",
        "threshold: {sigma: 1e999}\n",
        "? [a]\n: 1\n",
        "x" * 300_000,
        "- 1\n",
        "\x00\x01",
    ],
)
def test_hostile_text_is_refused_in_one_sentence(hostile: str) -> None:
    with pytest.raises(RecipeError):
        parse_recipe(HEAD + hostile)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"", b"format: other\nversion: 1\n"])
def test_what_is_no_recipe_is_refused(data: bytes) -> None:
    with pytest.raises(RecipeError):
        parse_recipe(data)


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=60))
def test_no_text_at_all_does_more_than_be_refused(said: str) -> None:
    with pytest.raises(RecipeError):
        parse_recipe(HEAD + said)


def test_a_later_version_is_refused_and_an_older_one_migrated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(RecipeError, match="version 5; this program reads up to 4"):
        parse_recipe("format: napari-unetseg recipe\nversion: 5\nthreshold:\n")
    monkeypatch.setitem(
        text.MIGRATIONS, 1, lambda said: {"threshold": said["cut"]} if "cut" in said else said
    )
    monkeypatch.setitem(text.MIGRATIONS, 3, lambda said: said | {"background": {"terms": "plane"}})
    recipe = parse_recipe("format: napari-unetseg recipe\nversion: 1\ncut: {sigma: 2.0}\n")
    assert recipe.threshold == ThresholdStep(sigma=2.0)
    assert recipe.background == BackgroundOptions(terms="plane")


def test_the_digest_tells_recipes_apart_but_not_where_the_model_lies() -> None:
    base = Recipe(threshold=ThresholdStep())
    assert base.digest() != Recipe(threshold=ThresholdStep(sigma=1.0)).digest()
    assert base.digest() != Recipe(threshold=ThresholdStep(), image=ImageStep(channel="1")).digest()

    def of(**said: object) -> str:
        return Recipe(model=ModelStep(**{"file": "a.zip", "sha256": HASH, **said})).digest()

    assert of() == of(file="elsewhere/b.zip")
    assert of() != of(sha256="1" * 64)
    model = ModelStep(file="a.zip", sha256=HASH)
    # What is said of objects, even if it is the default, overrules what suits the model.
    said = Recipe(model=model, objects=DecodeOptions(split_depth=DecodeOptions().split_depth))
    assert said.digest() != Recipe(model=model, objects=DecodeOptions()).digest()


def test_a_recipe_finds_its_model_by_path_and_hash(tmp_path) -> None:
    place = tmp_path / "recipes"
    place.mkdir()
    (tmp_path / "m.zip").write_bytes(b"weights")
    step = model_step(tmp_path / "m.zip", place, PredictOptions(what="objects"))
    assert step.file == "../m.zip"
    write_recipe(place / "r.yaml", Recipe(model=step))
    recipe = read_recipe(place / "r.yaml")
    assert recipe.model == step
    assert model_file(step, place).samefile(tmp_path / "m.zip")
    (tmp_path / "m.zip").write_bytes(b"other weights")
    with pytest.raises(InputError, match="is not the one the recipe was made with"):
        model_file(step, place)
    (tmp_path / "m.zip").unlink()
    with pytest.raises(InputError, match="Put it beside the recipe"):
        model_file(step, place)


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ({"diameter": 9.0, "rescale": True, "auto_diameter": True}, {"diameter": 9.0}),
        ({"rescale": True, "auto_diameter": True}, {"rescale": True}),
        ({"auto_diameter": True}, {"auto_diameter": True}),
        ({}, {}),
    ],
)
def test_of_the_sizes_that_a_form_keeps_the_one_that_counted_is_taken(
    tmp_path, said, counted
) -> None:
    (tmp_path / "m.zip").write_bytes(b"weights")
    step = model_step(tmp_path / "m.zip", tmp_path, PredictOptions(tile=64, **said))
    assert step.model_dump(include=set(SizeOptions.model_fields)) == {
        **SizeOptions().model_dump(),
        **counted,
    }
    assert step.tile == 64


def test_a_recipe_of_version_1_without_a_result_still_makes_objects(make_model) -> None:
    said = (
        f"format: napari-unetseg recipe\nversion: {{}}\nmodel: {{{{file: a, sha256: '{HASH}'}}}}\n"
    )
    old, new = (parse_recipe(said.format(version)) for version in (1, 2))
    classes = make_model("unet", values=(0, 1), labels_are="mask")
    objects = make_model("unet", values=(0, 1), labels_are="objects", decoder=DecoderSpec())
    assert [old.for_model(m).model.what for m in (classes, objects)] == ["objects", "objects"]
    assert [new.for_model(m).model.what for m in (classes, objects)] == ["classes", "objects"]
    chosen = Recipe(model=new.model, objects=DecodeOptions(min_size=3))
    assert chosen.for_model(classes).makes_objects
    assert parse_recipe(recipe_to_yaml(new)) == new


def test_a_recipe_of_version_3_links_no_planes_and_predicts_them_one_by_one(make_model) -> None:
    def read(version: int, steps: str) -> Recipe:
        return parse_recipe(f"format: napari-unetseg recipe\nversion: {version}\n{steps}")

    objects = "threshold: {result: objects}\n"
    assert read(3, objects).threshold.link == "none"
    assert read(4, objects).threshold.link == "auto"
    assert read(3, "threshold: {result: objects, link: time}\n").threshold.link == "time"
    assert read(3, "threshold: {}\n") == read(4, "threshold: {}\n")
    step = f"model: {{file: a, sha256: '{HASH}'}}\n"
    old, new = (read(version, step) for version in (3, 4))
    learnt = make_model("unet", values=(0, 1), labels_are="objects", decoder=DecoderSpec())
    assert (old.model.orientations, old.decoding(learnt).link) == ("one", "none")
    assert (new.model.orientations, new.decoding(learnt).link) == ("auto", "auto")
    # That objects are not linked does not ask for objects.
    classes = make_model("unet", values=(0, 1), labels_are="mask")
    assert old.for_model(classes).model.what == "classes"
    assert old.for_model(learnt).model.what == "objects"
    kept = read(3, f"{step}objects: {{min_size: 5, link: both}}\n")
    assert (kept.objects.link, kept.objects.min_size) == ("both", 5)
    assert parse_recipe(recipe_to_yaml(old)) == old


def test_files_that_are_not_there_or_named_otherwise_are_said_so(tmp_path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_recipe(tmp_path / "none.yaml")
    with pytest.raises(InputError, match=r"written as \.yaml"):
        write_recipe(tmp_path / "recipe.txt", Recipe(threshold=ThresholdStep()))
    (tmp_path / "bad.yaml").write_text(HEAD + "threshold:\n  sigma: 99\n")
    with pytest.raises(InputError, match=r"bad\.yaml: Line 4: threshold\.sigma = 99"):
        read_recipe(tmp_path / "bad.yaml")


def test_a_background_of_an_earlier_recipe_is_a_polynomial_and_ignores_both_kinds() -> None:
    for said in ("background:\n", "background: {terms: plane}\n", "background: {robust: both}\n"):
        older = parse_recipe(HEAD.replace("version: 4", "version: 2") + said)
        assert older.background is not None
        assert older.background.robust == "both"
        assert older.background.terms == ("plane" if "plane" in said else "polynomial")
    today = parse_recipe(HEAD + "background:\n")
    assert today.background == BackgroundOptions(robust="auto")


def test_a_recipe_that_would_not_be_read_is_not_written(tmp_path, monkeypatch):
    path = tmp_path / "r.yaml"
    write_recipe(path, Recipe(threshold=ThresholdStep()))
    old = path.read_bytes()
    monkeypatch.setattr(text, "MAX_BYTES", 2**10)
    with pytest.raises(InputError, match="would not open: The recipe is larger than 1 KiB"):
        write_recipe(path, Recipe(model=ModelStep(file="m" * 2**11, sha256=HASH)))
    assert path.read_bytes() == old
