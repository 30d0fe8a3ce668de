"""Check that the package speaks the language of its field and gives each name one meaning.

Usage: python tools/check_language.py [PACKAGE_FOLDER]

Fails where 3 % or more of the docstrings open with a sentence about saying (what, say, tell)
instead of one that names the thing, where two modules define the same public name, and where two
modules share a file name. Needs nothing but the standard library.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FRONT_DOOR = "api.py"
"""Module whose functions bear the names of those in core, as they mean the same."""
LIMIT = 0.03
"""Share of docstrings with `PRIVATE` words in their first paragraph that is too large."""

PRIVATE = re.compile(r"\b(what|said|says?|told|tells?)\b", re.IGNORECASE)
SHARED_STEMS = {"__init__", "__main__"}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Summary(NamedTuple):
    """The first paragraph of a docstring, and its place."""

    place: str
    text: str


class Module(NamedTuple):
    """One parsed file, and its path below the checkout."""

    path: Path
    name: str
    tree: ast.Module


def modules_in(folder: Path) -> list[Module]:
    """Parse every Python file below a folder."""
    return [
        Module(path, path.relative_to(folder).as_posix(), ast.parse(path.read_text("utf-8")))
        for path in sorted(folder.rglob("*.py"))
    ]


def summaries(module: Module) -> Iterator[Summary]:
    """Yield the first paragraph of the docstring of each module, class and function."""
    for node in ast.walk(module.tree):
        if isinstance(node, (*DEFINITIONS, ast.Module)):
            text = ast.get_docstring(node)
            if text:
                line = getattr(node, "lineno", 1)
                paragraph = " ".join(text.split("\n\n")[0].split())
                yield Summary(f"{module.name}:{line}", paragraph)


def public_names(module: Module) -> Iterator[str]:
    """Yield the public functions and classes of the top level of a module."""
    for node in module.tree.body:
        if isinstance(node, DEFINITIONS) and not node.name.startswith("_"):
            yield node.name


def used_twice(pairs: Iterator[tuple[str, str]]) -> list[str]:
    """Describe each key that stands in several places."""
    places: dict[str, set[str]] = defaultdict(set)
    for key, place in pairs:
        places[key].add(place)
    return [
        f"{key}: {', '.join(sorted(where))}"
        for key, where in sorted(places.items())
        if len(where) > 1
    ]


def main(folder: Path) -> int:
    """Print the share and the offenders; return 1 where a limit is passed."""
    modules = modules_in(folder)
    found = [summary for module in modules for summary in summaries(module)]
    private = [summary for summary in found if PRIVATE.search(summary.text)]
    share = len(private) / max(len(found), 1)
    names = used_twice(
        (name, module.name)
        for module in modules
        if module.name != FRONT_DOOR
        for name in public_names(module)
    )
    stems = used_twice(
        (module.path.stem, module.name)
        for module in modules
        if module.path.stem not in SHARED_STEMS
    )
    too_many = share >= LIMIT
    for summary in private if too_many else []:
        print(f"{summary.place}: {summary.text}")
    for kind, twice in (("public name", names), ("file name", stems)):
        for one in twice:
            print(f"{kind} with two meanings: {one}")
    print(
        f"{len(private)} of {len(found)} docstrings ({share:.1%}, limit below {LIMIT:.0%}) open "
        f"with what, say or tell; {len(names)} public names and {len(stems)} file names are used "
        "twice."
    )
    return 1 if too_many or names or stems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "src" / "napari_unetseg"))
