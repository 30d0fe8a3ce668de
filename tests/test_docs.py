"""The documentation stays true: what it names is there, and what is there has its page."""

import ast
import importlib
import re
import shlex
import sys
import tomllib
from configparser import ConfigParser
from itertools import product
from pathlib import Path

import pytest
import typer
import yaml

from napari_unetseg.cli.app import NAME, build_app
from napari_unetseg.core.recipe import parse_recipe

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "napari_unetseg"
PAGES = sorted(page for page in DOCS.rglob("*.md") if not {"_build", "gallery"} & set(page.parts))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
LARGEST_PICTURE, LARGEST_FILM = 250_000, 700_000

_LINK = re.compile(r"\]\(([^)\s]+)\)|\{(?:include|image|literalinclude)\} (\S+)")
_FENCE = re.compile(r"^ *```(\S*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SOURCE = re.compile(r"(?<![\w/.-])((?:core|gui|cli|tests|tools|docs)/[\w/]+\.\w+)(?::(\w+))?")
_DERIVED = re.compile(r"^<!-- derived: [a-z_ -]+ -->$(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)
_TREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)


def read(path):
    return path.read_text(encoding="utf-8")


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def fenced(path, *languages):
    return [text for language, text in _FENCE.findall(read(path)) if language in languages]


def slugs(path):
    """Return the anchors of a page, as the site makes them of its headings."""
    heads = re.findall(r"^#+ (.+)$", read(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.fixture(scope="module")
def tools():
    """Import a module of `tools` by its name."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(ROOT / "tools"))


@pytest.fixture(scope="module")
def derived(tools):
    return tools("derived_text")


@pytest.fixture(scope="module")
def scenes(tools):
    return tools("window.scenes").SCENES


COMMANDS = [
    pytest.param(line.strip(), id=f"{name_of(path)}: {line.strip()}")
    for path in TEXTS
    for block in fenced(path, "")
    for line in block.splitlines()
    if line.strip().startswith(f"{NAME} ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_that_is_shown_is_one_of_the_parser(line):
    program = typer.main.get_command(build_app())
    _, word, *rest = shlex.split(line)
    if word == "--help":
        return
    context = typer.Context(program, info_name=NAME)
    command = program.get_command(context, word)
    assert command is not None, f"there is no command {word}"
    command.make_context(word, rest, parent=context)


def test_a_slip_in_a_command_would_be_seen():
    assert len(COMMANDS) > 40
    for line in (f"{NAME} predict nuclei a.tif -o b.tif --diametre 3", f"{NAME} predicts a"):
        with pytest.raises((AssertionError, typer.BadParameter.__mro__[2])):
            test_a_command_that_is_shown_is_one_of_the_parser(line)


def environments():
    """Name every environment of tox; one section stands for several, as in ``py{311,312}-qt``."""
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    names = set()
    for section in tox:
        parts = re.split(r"\{(.*?)\}", section.removeprefix("testenv:"))
        names |= {"".join(chosen) for chosen in product(*(part.split(",") for part in parts))}
    return names


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_environments_and_scripts_that_are_shown_exist(path):
    there = environments()
    for environment in re.findall(r"-m tox -e ([\w-]+)", read(path)):
        assert environment in there, environment
    for script in re.findall(r"\b((?:tools|examples|benchmarks)/\w+\.py)", read(path)):
        assert (ROOT / script).is_file(), script


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_files_and_what_is_named_in_them_exist(path):
    missing = []
    for name, inside in sorted(set(_SOURCE.findall(read(path)))):
        found = [place for place in (ROOT / name, PACKAGE / name) if place.is_file()]
        defined = rf"^ *(?:def|class) {inside}\b|^{inside}\b.* = "
        if not found or (inside and not re.search(defined, read(found[0]), re.MULTILINE)):
            missing.append(f"{name}:{inside}")
    assert [one for one in missing if "NAME" not in one] == []


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_no_link_is_broken(path):
    for found in _LINK.findall(read(path)):
        target, _, anchor = "".join(found).partition("#")
        if "://" in target or "screenshots" in Path(target).parts:
            continue
        place = (path.parent / target).resolve() if target else path
        assert place.exists(), target
        assert not anchor or anchor in slugs(place), f"{target}#{anchor}"


def test_every_page_is_in_a_table_of_contents():
    listed = set()
    for page in PAGES:
        for tree in _TREE.findall(read(page)):
            words = [line for line in tree.splitlines() if line and not line.startswith(":")]
            listed |= {(page.parent / f"{word}.md").resolve() for word in words}
    listed.discard((DOCS / "gallery" / "index.md").resolve())
    assert listed == set(PAGES) - {DOCS / "index.md"}


def test_every_dock_has_a_page_with_its_help_and_a_picture(derived):
    for dock in derived.docks():
        text = read(DOCS / "docks" / f"{dock}.md")
        assert f"gui/help/{dock}.md" in text
        assert f"<!-- derived: menus {dock} -->" in text
        assert "../screenshots/" in text
        assert f"<!-- derived: controls {dock} -->" in text


def test_the_pictures_that_are_shown_are_those_that_are_taken(scenes):
    shown = {
        Path("".join(found)).stem
        for page in PAGES
        for found in _LINK.findall(read(page))
        if "screenshots" in Path("".join(found)).parts
    }
    assert shown == {name for pictures in scenes.values() for name in pictures}


def test_the_pictures_of_the_readme_are_small():
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", read(ROOT / "README.md"))
    assert pictures
    for one in pictures:
        largest = LARGEST_FILM if one.endswith(".webp") else LARGEST_PICTURE
        assert (ROOT / one).stat().st_size < largest


ASKING = [page for page in PAGES if "<!-- derived: " in read(page)]


@pytest.mark.parametrize("path", ASKING, ids=name_of)
def test_derived_text_is_current(path, derived, request):
    text = read(path)
    if "<!-- derived: controls " in text:
        request.getfixturevalue("qapp")
    assert derived.renewed(text) == text, "run python tools/write_derived.py"


@pytest.mark.parametrize("path", ASKING, ids=name_of)
def test_derived_tables_are_full(path):
    blocks = _DERIVED.findall(read(path))
    assert blocks
    for block in blocks:
        assert len(block) > 30
        for rows in re.findall(r"(?:^\|.*\n?)+", block, re.MULTILINE):
            assert rows.count("\n|") >= 2, "a table without a row"
            cells = [line[1:-1].split(" | ") for line in rows.splitlines()]
            assert all(cell.strip() for line in cells for cell in line), rows


def test_text_that_is_not_current_would_be_seen(derived):
    current = read(DOCS / "models.md")
    for changed in (
        current.replace("| **Licence** |", "| **License** |"),
        _DERIVED.sub("<!-- derived: export -->", current),
    ):
        assert changed != current
        assert derived.renewed(changed) == current


def test_every_option_of_a_dock_stands_in_its_table(derived):
    for dock in derived.docks():
        text = read(DOCS / "docks" / f"{dock}.md")
        for form in derived.options_of(dock).values():
            for field in form.model_fields.values():
                assert f"| **{field.title}** |" in text


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_python_and_recipes_that_are_shown_can_be_read(path):
    for code in fenced(path, "python"):
        compile(code, str(path), "exec")
        for module, names in re.findall(r"^from (\S+) import (.+)$", code, re.MULTILINE):
            for name in names.split(", "):
                assert hasattr(importlib.import_module(module), name)
    for text in fenced(path, "yaml"):
        parse_recipe(text.encode())


def texts_of(module):
    """Return the texts that a module holds, those that belong together joined."""
    tree = ast.parse(read(module))
    return [
        "\0".join(
            part.value if isinstance(part, ast.Constant) else ""
            for part in (node.values if isinstance(node, ast.JoinedStr) else [node])
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ]


def quoted_in(path):
    """Return what a page sets in italics, which is what the window shows, in unbroken pieces."""
    text = _DERIVED.sub("", read(path))
    text = re.sub(r"```.*?```|`[^`]*`|\*\*[^*]+\*\*", "", text, flags=re.DOTALL)
    shown = (" ".join(found.split()) for found in re.findall(r"(?<![\w*])\*([^*]+)\*(?!\w)", text))
    pieces = (piece.strip(" .,;:") for one in shown for piece in re.split(r"\.\.\.|\d[\d.,]*", one))
    return {piece for piece in pieces if len(piece) > 2}


def test_controls_and_messages_that_are_named_are_those_of_the_program():
    modules = (ROOT / "src").rglob("*.py")
    said = " ".join(" ".join(text.split()) for module in modules for text in texts_of(module))
    said = said.replace("&", "") + read(PACKAGE / "napari.yaml")
    pages = [*TEXTS, *sorted((PACKAGE / "gui" / "help").glob("*.md"))]
    quoted = {(page.stem, piece) for page in pages for piece in quoted_in(page)}
    assert len(quoted) > 200
    assert sorted(piece for piece in quoted if piece[1] not in said) == []


def test_citation_changelog_and_fallback_name_one_version():
    cited = yaml.safe_load(read(ROOT / "CITATION.cff"))
    content = tomllib.loads(read(ROOT / "pyproject.toml"))
    fallback = content["tool"]["hatch"]["version"]["fallback-version"]
    assert fallback == f"{cited['version']}.dev0"
    assert f"## {cited['version']} (" in read(ROOT / "CHANGELOG.md")
    assert cited["license"] == content["project"]["license"]
    assert cited["title"].startswith(content["project"]["name"])
