"""Text of the pages that the program itself knows: controls, options, flags, formats, rooms.

A page asks for it between two lines::

    <!-- derived: controls threshold -->
    <!-- end -->

The words after the colon are a key of `MAKERS` and its arguments. `write_derived.py` puts the
Markdown between the lines, so that a page reads the same in the checkout and on the site.
"""

import ast
import importlib
import inspect
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

_ASKED = re.compile(
    r"^<!-- derived: ([a-z_ -]+) -->$(?:\n(?:(?!<!-- ).*\n)*<!-- end -->$)?", re.MULTILINE
)
_CHANGING = ("rung",)
"""Names of choices whose help is that of what is chosen."""

EVERYWHERE = ("More", "Help", "Reset")
"""Buttons of every dock, which the page of all docks tells of."""

PACKAGE = napari_unetseg.__name__
_MENUS = {"io_utilities": "IO Utilities"}
_MANIFEST = Path(napari_unetseg.__file__).with_name("napari.yaml")

Table = Sequence[tuple[str, str]]


def renewed(text: str) -> str:
    """Fill in the Markdown that a page asks for, in place of an earlier one."""

    def block(asked: re.Match[str]) -> str:
        kind, *words = asked[1].split()
        return f"<!-- derived: {asked[1]} -->\n\n{MAKERS[kind](*words).strip()}\n\n<!-- end -->"

    return _ASKED.sub(block, text)


# The docks


def docks() -> dict[str, str]:
    """List the docks of the manifest: the word of the command, and the name in the menu."""
    manifest = yaml.safe_load(_MANIFEST.read_text(encoding="utf-8"))
    return {
        widget["command"].partition(".")[2]: widget["display_name"]
        for widget in manifest["contributions"]["widgets"]
    }


def menus(dock: str) -> str:
    """Describe where in napari's menus a dock is."""
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
    from napari_unetseg.core.annotation.pretrain_options import PretrainOptions
    from napari_unetseg.core.annotation.train_options import TrainOptions
    from napari_unetseg.core.background import BackgroundOptions
    from napari_unetseg.core.measure import MeasureOptions
    from napari_unetseg.core.model.registry import RUNGS
    from napari_unetseg.core.models_io.native.export_package import ExportOptions
    from napari_unetseg.core.objects.compartments import CellOptions
    from napari_unetseg.core.objects.decode import DecodeOptions
    from napari_unetseg.core.review_queue.queue_options import QueueOptions
    from napari_unetseg.core.threshold import ThresholdOptions
    from napari_unetseg.core.training.fine_tune import FineTuneOptions
    from napari_unetseg.gui.correct.correct_acts import CorrectOptions
    from napari_unetseg.gui.features.features_dock import FeatureOptions
    from napari_unetseg.gui.predict.predict_run import PredictDockOptions
    from napari_unetseg.gui.review.review_dock import ReviewOptions
    from napari_unetseg.gui.scoreboard.scoreboard_dock import ScoreboardOptions

    models = {
        f"The model {kind}": rung.spec for kind, rung in RUNGS.items() if kind not in ("softmax",)
    }
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
        "measure": {"": MeasureOptions, "How cells are found": CellOptions},
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
    """List the controls of a dock besides its forms, with their help.

    The dock is built without a window.
    """
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QAbstractButton, QApplication, QFormLayout

    application = QApplication.instance() or QApplication([])
    manifest = yaml.safe_load(_MANIFEST.read_text(encoding="utf-8"))
    command = next(
        one for one in manifest["contributions"]["commands"] if one["id"].endswith(f".{dock}")
    )
    module, _, name = command["python_name"].partition(":")
    page = getattr(importlib.import_module(module), name)(ViewerModel())
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
    """Describe the values that a field takes."""
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
    """Describe the default of a field."""
    if field.is_required():
        return "none: must be given"
    value = field.default
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == 0 and (word := _extra(field).get("zero")):
        return f"{word} (`{value}`)"
    return f"`{value}`" if value not in ("", (), None) else "nothing"


def help_of(form: type[BaseModel], field: FieldInfo, by_name: bool = False) -> str:
    """Give the help of a field, and the choices with which it matters."""
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
    """Return a table of every folder of the package and the modules that all of them share."""
    root = Path(napari_unetseg.__file__).parent
    rows = []
    for folder in (root, *sorted(inside.parent for inside in root.rglob("*/__init__.py"))):
        place = folder.relative_to(root.parent).as_posix()
        rows.append((f"`{place}/`", _summary_of(folder / "__init__.py")))
        if folder in (root, root / "core"):
            modules = sorted(folder.glob("[!_]*.py"))
            rows += [(f"`{place}/{module.name}`", _summary_of(module)) for module in modules]
    return table(("Place", "Contents"), rows)


def _summary_of(module: Path) -> str:
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0]


API = (
    "",
    "core.io",
    "core.background",
    "core.threshold",
    "core.measure",
    "core.models_io.foreign",
    "core.models_io.native",
    "core.inference.predict_options",
    "core.inference.prediction",
    "core.model.trained_model",
    "core.training.train",
    "core.training.fine_tune",
    "core.scoring.object_scores",
    "core.recipe",
    "core.streaming",
    "core.project",
    "core.samples",
)
"""Modules that are meant to be called: the front door, then the rooms of `core` behind it."""


def api() -> str:
    """Return a table of the public names of each module of `API`, with their summaries."""
    parts = []
    for name in API:
        module = importlib.import_module(f"napari_unetseg.{name}".rstrip("."))
        rows = [
            (f"`{public}`", text)
            for public in module.__all__
            if getattr(found := getattr(module, public), "__module__", "").startswith(PACKAGE)
            and (text := (inspect.getdoc(found) or "").partition("\n\n")[0])
        ]
        parts += [f"## `{module.__name__}`", table(("Name", "Purpose"), rows)]
    return "\n\n".join(parts)


def reference() -> str:
    """Return what lets autodoc describe the modules of `API` on the site."""
    modules = [f"napari_unetseg.core.{name}" for name in API]
    return "\n\n".join(
        f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```"
        for name in modules
    )


def export_options() -> str:
    """Return a table of the options of an export."""
    from napari_unetseg.core.models_io.native.export_package import ExportOptions

    return option_table(ExportOptions)


def decodings() -> str:
    """Return a table of how each shipped model makes objects, as its file tells."""
    from napari_unetseg.core.models_io import shipped_models as shipped

    rows = []
    for name in shipped.names():
        model = shipped.open_shipped(name)
        known = model.provenance.get("calibrated", {})
        made, learnt = model.decoding, model.decoder is not None
        rows.append(
            (
                f"`{name}`",
                f"{made.foreground:g}",
                f"{made.split_depth:g}" if learnt else "not split",
                f"{made.seed_height:g}" if learnt else "-",
                f"{made.min_size}",
                f"{made.min_score:g}" if learnt else "-",
                f"{model.diameter:.1f}" if model.diameter else "-",
                str(known["objects"]) if known else "-",
            )
        )
    options = type(made).model_fields
    titles = ("foreground", "split_depth", "seed_height", "min_size", "min_score")
    chosen = [str(options[title].title) for title in titles]
    return table(("Model", *chosen, "Diameter", "Chosen by objects"), rows)


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
    "reference": reference,
    "decodings": decodings,
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""

    def line(cells: Sequence[str]) -> str:
        plain = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
        return f"| {' | '.join(plain)} |"

    return "\n".join([line(head), line(["---"] * len(head)), *(line(row) for row in rows)])
