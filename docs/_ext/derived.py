"""What the pages take from the program itself: controls, flags, formats. Nothing is said twice.

A page asks with a line ``<!-- derived: controls threshold -->``; the words after the colon are a
key of `MAKERS` and what it is asked for. In its place comes Markdown.
"""

import ast
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import napari_unetseg
from napari_unetseg.core.options import Options

_ASKED = re.compile(r"^<!-- derived: ([a-z_ -]+) -->$", re.MULTILINE)
_CHANGING = ("rung",)
"""Names of choices whose help is that of what is chosen."""

EVERYWHERE = ("Help", "Reset")
"""Buttons of every dock, which the page of all docks tells of."""

_MENUS = {"io_utilities": "IO Utilities"}
_MANIFEST = Path(napari_unetseg.__file__).with_name("napari.yaml")

Table = Sequence[tuple[str, str]]


def substituted(text: str) -> str:
    """Return the text of a page with what it asks for."""
    return _ASKED.sub(lambda asked: made(*asked[1].split()), text)


def made(kind: str, *words: str) -> str:
    """Return the Markdown that a line of a page asks for."""
    return MAKERS[kind](*words)


# The docks


def docks() -> dict[str, str]:
    """Return the docks of the manifest: the word of the command, and the name in the menu."""
    manifest = yaml.safe_load(_MANIFEST.read_text(encoding="utf-8"))
    return {
        widget["command"].partition(".")[2]: widget["display_name"]
        for widget in manifest["contributions"]["widgets"]
    }


def menus(dock: str) -> str:
    """Say where in napari's menus a dock is."""
    manifest = yaml.safe_load(_MANIFEST.read_text(encoding="utf-8"))
    places = [
        " > ".join(_MENUS.get(word, word.capitalize()) for word in menu.split("/")[1:])
        for menu, items in manifest["contributions"]["menus"].items()
        if any(item["command"].endswith(f".{dock}") for item in items)
    ]
    also = " and ".join(places)
    return f"In napari's menus: Plugins > UNet Segmentation > {docks()[dock]}, and {also}."


def purposes() -> str:
    """Return a table of all docks: each with a link to its page, and what it is for."""
    rows = []
    for dock, name in docks().items():
        text = (_MANIFEST.parent / "gui" / "help" / f"{dock}.md").read_text(encoding="utf-8")
        rows.append((f"[{name}]({dock}.md)", text.split("\n\n")[1]))
    return table(("Dock", "What it is for"), rows)


def options_of(dock: str) -> dict[str, type[Options]]:
    """Return the forms of a dock, with a heading each."""
    from napari_unetseg.core.background import BackgroundOptions
    from napari_unetseg.core.measure import MeasureOptions
    from napari_unetseg.core.model.trained_model import RUNGS
    from napari_unetseg.core.models_io.native.export_package import ExportOptions
    from napari_unetseg.core.objects.decode import DecodeOptions
    from napari_unetseg.core.review_queue.queue_options import QueueOptions
    from napari_unetseg.core.threshold import ThresholdOptions
    from napari_unetseg.core.training.fine_tune import FineTuneOptions
    from napari_unetseg.core.training.pretrain_options import PretrainOptions
    from napari_unetseg.core.training.train_options import TrainOptions
    from napari_unetseg.gui.correct.correct_tools import CorrectOptions
    from napari_unetseg.gui.features.features_dock import FeatureOptions
    from napari_unetseg.gui.predict.predict_run import PredictDockOptions
    from napari_unetseg.gui.review.review_dock import ReviewOptions
    from napari_unetseg.gui.scoreboard.scoreboard_dock import ScoreboardOptions

    models = {f"The model {kind}": spec for kind, spec in RUNGS.items() if kind not in ("softmax",)}
    models["The models logistic and softmax"] = models.pop("The model logistic")
    forms: dict[str, dict[str, type[Options]]] = {
        "background": {"": BackgroundOptions},
        "threshold": {"": ThresholdOptions},
        "train": {"The training": TrainOptions, "Pretraining": PretrainOptions} | models,
        "scoreboard": {"": ScoreboardOptions},
        "predict": {"": PredictDockOptions, "How objects are made": DecodeOptions},
        "queue": {"": QueueOptions},
        "correct": {"": CorrectOptions},
        "train_on": {"": FineTuneOptions},
        "review": {"": ReviewOptions},
        "measure": {"": MeasureOptions},
        "features": {"": FeatureOptions},
        "models": {"What Export asks": ExportOptions},
    }
    return forms.get(dock, {})


def controls(dock: str) -> str:
    """Return tables of everything on a dock that can be set or clicked."""
    from napari_unetseg.gui.correct.correct_tools import TOOLS

    forms = options_of(dock)
    told = {" ".join(kind.help.split()) for kind in TOOLS} | {
        " ".join(str(field.description).split())
        for form in forms.values()
        for field in form.model_fields.values()
    }
    own = [
        (f"**{name}**", text)
        for name, text in buttons_of(dock)
        if text not in told and name not in EVERYWHERE
    ]
    parts = [table(("Control", "What it does"), own)] if own else []
    for heading, form in forms.items():
        parts += ([f"### {heading}"] if heading else []) + [option_table(form)]
    return "\n\n".join(parts)


@cache
def buttons_of(dock: str) -> Table:
    """Return what is on a dock besides its forms, with the help that stands at it.

    The dock is built without a window.
    """
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from importlib import import_module

    from napari.components import ViewerModel
    from qtpy.QtWidgets import QAbstractButton, QApplication, QFormLayout

    application = QApplication.instance() or QApplication([])
    manifest = yaml.safe_load(_MANIFEST.read_text(encoding="utf-8"))
    command = next(
        one for one in manifest["contributions"]["commands"] if one["id"].endswith(f".{dock}")
    )
    module, _, name = command["python_name"].partition(":")
    page = getattr(import_module(module), name)(ViewerModel())
    found: dict[str, str] = {}
    for layout in page.findChildren(QFormLayout):
        for row in range(layout.rowCount()):
            label = layout.itemAt(row, QFormLayout.ItemRole.LabelRole)
            field = layout.itemAt(row, QFormLayout.ItemRole.FieldRole)
            if label is not None and field is not None and label.widget() is not None:
                found.setdefault(label.widget().text(), _help_at(field.widget(), label.widget()))
    # What cannot stop hides its Stop for good.
    idle = None if getattr(page, "can_stop", True) else page.stop_button
    for button in page.findChildren(QAbstractButton):
        if button.text() and button is not idle:
            found.setdefault(button.text().replace("&", ""), _help_at(button))
    close = getattr(page, "close_tool", None) or getattr(page, "close_tools", None)
    if close is not None:
        close()
    page.deleteLater()
    application.processEvents()
    return [(name, " ".join(text.split())) for name, text in found.items() if text]


def _help_at(*widgets: Any) -> str:
    """Return the help that stands at a control; of a choice whose help changes, that of all."""
    first = widgets[0]
    told = next((one for w in widgets for one in (w.toolTip(), w.statusTip()) if one), "")
    if not hasattr(first, "setCurrentIndex") or first.objectName() not in _CHANGING:
        return told
    tips = []
    for at in range(first.count()):
        first.setCurrentIndex(at)
        tips.append(f"*{first.itemText(at)}*: {first.toolTip()}")
    return " ".join(tips)


# Options


def option_table(form: type[BaseModel], *, by_name: bool = False) -> str:
    """Return a table of the fields of an options class.

    Parameters
    ----------
    by_name
        Whether fields go by the name they have in a file instead of the label in the form.
    """
    rows = []
    for name, field in form.model_fields.items():
        label = f"`{name}`" if by_name else f"**{field.title or name}**"
        rows.append((label, values_of(field), default_of(field), help_of(form, field, by_name)))
    head = ("Key" if by_name else "Option", "Values", "Default", "What it does")
    return table(head, rows)


def values_of(field: FieldInfo) -> str:
    """Say which values a field takes."""
    kind = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" if choice != "" else "nothing" for choice in get_args(kind))
    if get_origin(kind) in (UnionType, Union):
        kind = next(one for one in get_args(kind) if one is not type(None))
    if kind is bool:
        return "yes, no"
    offered = _extra(field).get("suggestions")
    if offered:
        return ", ".join(f"`{one}`" if one else "nothing" for one in offered) + ", or your own"
    names = {int: "whole number", float: "number", str: "text", tuple: "list"}
    return " ".join(filter(None, (names.get(kind, "list"), _bounds(field))))


def default_of(field: FieldInfo) -> str:
    """Say what a field is when nobody says otherwise."""
    if field.is_required():
        return "none: must be given"
    value = field.default
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"`{value}`" if value not in ("", (), None) else "nothing"


def help_of(form: type[BaseModel], field: FieldInfo, by_name: bool = False) -> str:
    """Return the help of a field, and with which others it matters."""
    text = str(field.description or "")
    when = _extra(field).get("when") or {}
    for other, values in when.items():
        title = f"`{other}`" if by_name else f"*{form.model_fields[other].title}*"
        said = " or ".join("yes" if v is True else "no" if v is False else f"{v}" for v in values)
        text += f" Only with {title}: {said}."
    return text


def _bounds(field: FieldInfo) -> str:
    found: dict[str, Any] = {}
    for bound in field.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if getattr(bound, name, None) is not None:
                found[name] = getattr(bound, name)
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    return " ".join(f"{words[name]} {found[name]:,}" for name in words if name in found)


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


# Everything else


def tools() -> str:
    """Return a table of the tools of the Correct dock and their keys."""
    from napari_unetseg.gui.correct.correct_tools import TOOLS

    rows = [
        (f"**{kind.text}**", f"`{kind.key.replace('-', '+')}`", kind.group, kind.help)
        for kind in TOOLS
    ]
    return table(("Tool", "Key", "Group", "What it does"), rows)


def commands() -> str:
    """Return the reference of the command line, as its parser has it."""
    import typer
    from typer.cli import get_docs_for_click

    from napari_unetseg.cli.app import NAME, build_app

    command = typer.main.get_command(build_app())
    context = typer.Context(command, info_name=NAME)
    text = get_docs_for_click(obj=command, ctx=context, name=NAME)
    return text.partition("**Commands**")[2].partition("\n## ")[2].join(("## ", ""))


def recipe(step: str) -> str:
    """Return a table of the keys of one step of a recipe."""
    from napari_unetseg.core.recipe import Recipe

    kind = Recipe.model_fields[step].annotation
    inner = [one for one in get_args(kind) if one is not type(None)]
    return option_table(inner[0] if inner else kind, by_name=True)


def tree() -> str:
    """Return the packages and modules, with the first line that each says of itself."""
    root = Path(napari_unetseg.__file__).parent
    lines = []
    for folder in (root, root / "cli", root / "gui", root / "core", *_packages(root / "core")):
        place = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        lines.append((f"`{place or 'napari_unetseg/'}`", _says(folder / "__init__.py")))
        if folder in (root, root / "core"):
            modules = sorted(folder.glob("[!_]*.py"))
            lines += [(f"`{place}{module.name}`", _says(module)) for module in modules]
    return table(("Place", "What is there"), lines)


def _packages(folder: Path) -> list[Path]:
    return sorted(inside.parent for inside in folder.glob("*/__init__.py"))


def _says(module: Path) -> str:
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0]


API = (
    "io",
    "image",
    "background",
    "threshold",
    "measure",
    "models_io.foreign",
    "models_io.native",
    "inference.predict_options",
    "inference.prediction",
    "model.trained_model",
    "training.train",
    "training.fine_tune",
    "scoring.object_scores",
    "recipe",
    "streaming",
    "project",
    "samples",
)
"""Modules of `core` that are meant to be called."""


def api() -> str:
    """Return what lets autodoc describe the modules of `API`."""
    parts = []
    for name in API:
        module = f"napari_unetseg.core.{name}"
        parts.append(f"## {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n```")
    return "\n\n".join(parts)


def export_options() -> str:
    """Return a table of what an export asks."""
    from napari_unetseg.core.models_io.native.export_package import ExportOptions

    return option_table(ExportOptions)


MAKERS: dict[str, Callable[..., str]] = {
    "controls": controls,
    "menus": menus,
    "docks": purposes,
    "tools": tools,
    "commands": commands,
    "recipe": recipe,
    "export": export_options,
    "tree": tree,
    "api": api,
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""

    def line(cells: Sequence[str]) -> str:
        plain = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
        return f"| {' | '.join(plain)} |"

    return "\n".join([line(head), line(["---"] * len(head)), *(line(row) for row in rows)])


def setup(app: Any) -> dict[str, bool]:
    """Let Sphinx put in what pages ask for."""

    def on_read(app: Any, name: str, source: list[str]) -> None:
        source[0] = substituted(source[0])

    app.connect("source-read", on_read)
    return {"parallel_read_safe": True}
