"""Every dock has a text of help, which is shipped with the package and shown on its page."""

import re
from importlib import resources

import pytest
import yaml

import napari_unetseg

_PACKAGE = resources.files(napari_unetseg)
_HELP = _PACKAGE / "gui" / "help"
_MANIFEST = yaml.safe_load((_PACKAGE / "napari.yaml").read_text(encoding="utf-8"))
DOCKS = {
    widget["command"].partition(".")[2]: widget["display_name"]
    for widget in _MANIFEST["contributions"]["widgets"]
}


def test_no_help_is_left_over() -> None:
    assert {path.name for path in _HELP.iterdir()} == {f"{name}.md" for name in DOCKS}


@pytest.mark.parametrize("dock", DOCKS)
def test_the_help_of_a_dock_says_what_it_is_for_and_how_it_is_done(dock: str) -> None:
    text = (_HELP / f"{dock}.md").read_text(encoding="utf-8")
    title, purpose, rest = text.split("\n\n", 2)
    assert title == f"# {DOCKS[dock]}"
    assert purpose[0].isupper()
    assert purpose.endswith(".")
    assert "## How to\n\n1. " in rest
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (_HELP / link).is_file(), link
