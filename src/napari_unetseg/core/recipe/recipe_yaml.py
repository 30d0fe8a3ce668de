"""Read recipes from YAML safely, and write them as readable YAML."""

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.native.plain_yaml import read_yaml_nodes, yaml_bytes
from napari_unetseg.core.options import Options
from napari_unetseg.core.recipe.recipe import Recipe

FORMAT, VERSION = "napari-unetseg recipe", 4
MAX_BYTES = 2**18

Path = tuple[str, ...]
Content = dict[str, Any]


def _objects_by_default(content: Content) -> Content:
    """Write out the former default of version 1: a model makes objects if it names no result."""
    step = content.get("model")
    if not isinstance(step, dict):
        return content
    return {**content, "model": {"what": "objects", **step}}


def _former_background(content: Content) -> Content:
    """Write out the background of version 2: it ignored both kinds; auto meant a polynomial."""
    if "background" not in content:
        return content
    step = content["background"]
    if step is not None and not isinstance(step, dict):
        return content
    former = {"terms": "polynomial", "robust": "both", **(step or {})}
    if str(former["terms"]).strip().lower() == "auto":
        former["terms"] = "polynomial"
    return {**content, "background": former}


def _unlinked_by_default(content: Content) -> Content:
    """Write out the former defaults of version 3: planes of stacks are predicted one by one, and
    their objects are not linked."""
    made = dict(content)
    model, threshold, objects = (made.get(name) for name in ("model", "threshold", "objects"))
    if isinstance(threshold, dict) and threshold.get("result") == "objects":
        made["threshold"] = {"link": "none", **threshold}
    if isinstance(model, dict):
        made["model"] = {"orientations": "one", **model}
        if model.get("what", "auto") in ("auto", "objects") and isinstance(objects, dict | None):
            made["objects"] = {"link": "none", **(objects or {})}
    return made


MIGRATIONS: dict[int, Callable[[Content], Content]] = {
    1: _objects_by_default,
    2: _former_background,
    3: _unlinked_by_default,
}
"""Functions that convert the content of a format version to the next version, by version."""

_MARKS = ("format", "version")


class RecipeError(InputError):
    """Report an error in a recipe, with its line.

    Parameters
    ----------
    sentence
        The error and how to fix it.
    line
        Counted from 1; None if the error belongs to no line.
    """

    def __init__(self, sentence: str, line: int | None = None) -> None:
        self.line = line
        super().__init__(sentence if line is None else f"Line {line}: {sentence}")


def parse_recipe(text: str | bytes) -> Recipe:
    """Parse a recipe from YAML text.

    Raises
    ------
    RecipeError
        When the text is not a recipe; the message names the line and the field.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > MAX_BYTES:
        raise RecipeError(
            f"The recipe is larger than {MAX_BYTES // 1024} KiB, the largest that is read. Check "
            "that the file is a recipe."
        )
    content, lines = _read(data)
    return _Reading(lines).recipe(_migrated(content, lines))


def recipe_to_yaml(recipe: Recipe) -> str:
    """Return a recipe as YAML, with every option that has an effect."""
    content: Content = {"format": FORMAT, "version": VERSION}
    for name in type(recipe).model_fields:
        step = getattr(recipe, name)
        if isinstance(step, Options) and ((options := _effective(name, step)) or name != "image"):
            content[name] = options
    return yaml_bytes(content).decode("utf-8")


def _effective(name: str, step: Options) -> Content:
    """Return the options of a step that have an effect."""
    if name == "image":
        return step.model_dump(mode="json", exclude_defaults=True)
    options = step.model_dump(mode="json", exclude_unset=name in ("objects", "cell_objects"))
    return {key: options[key] for key in options if options[key] != [] and not _idle(step, key)}


def _idle(step: Options, name: str) -> dict[str, tuple[Any, ...]]:
    """Return the options, with the values they would need, that leave one without an effect."""
    extra = type(step).model_fields[name].json_schema_extra
    when = extra.get("when") if isinstance(extra, dict) else None
    needed: Any = when or {}
    return {other: values for other, values in needed.items() if getattr(step, other) not in values}


def _read(data: bytes) -> tuple[Content, Mapping[Path, int]]:
    """Return the content of a YAML text, and the line of each name."""
    try:
        content, root = read_yaml_nodes(data, "The recipe")
        lines = dict(_lines_of(root))
    except RecipeError:
        raise
    except InputError as error:
        cause = error.__cause__
        mark = getattr(cause, "problem_mark", None)
        if mark is None:
            raise RecipeError(str(error)) from error
        problem = getattr(cause, "problem", None) or "it is no YAML"
        raise RecipeError(
            f"The recipe cannot be read as YAML: {problem}. Check the colons and the indent.",
            mark.line + 1,
        ) from error
    return content, lines


def _lines_of(node: Any, path: Path = ()) -> Iterator[tuple[Path, int]]:
    """Yield the line of every name; raise for a name given twice, which YAML would drop."""
    if not isinstance(node, yaml.MappingNode):
        return
    names: set[str] = set()
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in names:
            raise RecipeError(f"{'.'.join((*path, name))} is given twice. Leave one out.", line)
        names.add(name)
        yield (*path, name), line
        yield from _lines_of(value, (*path, name))


def _migrated(content: Content, lines: Mapping[Path, int]) -> Content:
    """Convert the content to the current version, and remove the format marks."""
    if content.get("format") != FORMAT:
        raise RecipeError(
            f"This is no recipe: it must begin with 'format: {FORMAT}'.", lines.get(("format",))
        )
    version = content.get("version")
    if type(version) is not int or version < 1:
        raise RecipeError(
            f"version = {version!r}: give the recipe's version, which is {VERSION} today.",
            lines.get(("version",)),
        )
    if version > VERSION:
        raise RecipeError(
            f"The recipe is of version {version}; this program reads up to {VERSION}. "
            "Update napari-unetseg.",
            lines[("version",)],
        )
    for older in range(version, VERSION):
        content = MIGRATIONS[older](content)
    return {name: value for name, value in content.items() if name not in _MARKS}


@dataclass(frozen=True)
class _Reading:
    """Validate the content of a recipe step by step, and report errors with their line."""

    lines: Mapping[Path, int]

    def recipe(self, content: Content) -> Recipe:
        """Return the recipe, or raise `RecipeError`."""
        steps: dict[str, Any] = {}
        for name, options in content.items():
            if name not in Recipe.model_fields:
                raise self._unknown((name,), Recipe)
            # A step with nothing after its colon has its defaults.
            steps[name] = self._step(name, {} if options is None else options)
        try:
            return Recipe(**steps)
        except ValidationError as error:
            raise self._refused((), error, Recipe) from error
        except InputError as error:
            raise RecipeError(str(error)) from error

    def _step(self, name: str, options: Any) -> Options:
        kind = _kind_of(name)
        if not isinstance(options, dict):
            raise self._wrong(
                (name,), f"{name} = {options!r}: give options, each in a line of its own, indented."
            )
        for key, value in options.items():
            if key not in kind.model_fields:
                raise self._unknown((name, str(key)), kind)
            if isinstance(value, float) and not math.isfinite(value):
                raise self._wrong((name, key), f"{name}.{key} = {value}: give a finite number.")
        try:
            step = kind.model_validate(options, strict=True)
        except ValidationError as error:
            raise self._refused((name,), error, kind) from error
        except InputError as error:
            raise self._wrong((name,), f"{name}: {error}") from error
        self._check_effect(name, step)
        return step

    def _check_effect(self, name: str, step: Options) -> None:
        """Raise for an option that is set but has no effect: that is usually a mistake."""
        for key in step.model_fields_set:
            field = type(step).model_fields[key]
            if getattr(step, key) == field.default:
                continue
            for other, values in _idle(step, key).items():
                needed = " or ".join(str(v).lower() if v in (True, False) else v for v in values)
                raise self._wrong(
                    (name, key),
                    f"{name}.{key} has an effect only with {name}.{other}: {needed}. "
                    "Give that, or leave it out.",
                )

    def _refused(self, path: Path, error: ValidationError, kind: type[BaseModel]) -> RecipeError:
        first = error.errors()[0]
        at = (*path, *(part for part in first["loc"] if isinstance(part, str)))
        field = ".".join(at)
        if first["type"] == "missing":
            return self._wrong(path, f"{field} is missing. Give it.")
        if first["type"] == "value_error":
            message = first["msg"].removeprefix("Value error, ")
            return self._wrong(
                at, message if message.startswith(field) or not path else _under(at, message)
            )
        return self._wrong(at, f"{field} = {_short(first['input'])}: {first['msg'].lower()}.")

    def _unknown(self, path: Path, kind: type[BaseModel]) -> RecipeError:
        fields = list(kind.model_fields)
        close = difflib.get_close_matches(path[-1], fields, n=1)
        what = f"{path[0]} has no option {path[-1]!r}" if len(path) > 1 else "There is no step "
        guess = f" Did you mean {close[0]}?" if close else ""
        named = "" if len(path) > 1 else repr(path[0])
        return self._wrong(path, f"{what}{named}.{guess} There are {', '.join(fields)}.")

    def _wrong(self, path: Path, sentence: str) -> RecipeError:
        lines = (self.lines.get(path[:n]) for n in range(len(path), 0, -1))
        return RecipeError(sentence, next((line for line in lines if line is not None), None))


def _under(path: Path, message: str) -> str:
    """Prefix an option's own error message with its step."""
    return (
        f"{path[0]}.{message}" if message.startswith(f"{path[-1]} = ") else f"{path[0]}: {message}"
    )


def _kind_of(name: str) -> type[Options]:
    annotation = Recipe.model_fields[name].annotation
    kinds = (annotation, *get_args(annotation))
    return next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Options))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


__all__ = ["FORMAT", "MAX_BYTES", "VERSION", "RecipeError", "parse_recipe", "recipe_to_yaml"]
