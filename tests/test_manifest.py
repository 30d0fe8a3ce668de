"""The plugin as napari finds it."""

import importlib
import importlib.util
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_unetseg

MANIFEST = Path(napari_unetseg.__file__).parent / "napari.yaml"
COMMANDS = {
    command.id: command
    for command in PluginManifest.from_file(MANIFEST).contributions.commands or ()
}


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(MANIFEST)


def test_the_installed_plugin_is_this_manifest(manifest: PluginManifest) -> None:
    installed = PluginManifest.from_distribution("napari-unetseg")
    assert installed.contributions == manifest.contributions


def test_the_top_level_file_is_a_link_to_the_packaged_one(project_root: Path) -> None:
    link = project_root / "napari.yaml"
    packaged = project_root / "src" / "napari_unetseg" / "napari.yaml"
    # Where a checkout has no links, git leaves a file that holds the target's name.
    told = link.read_text(encoding="utf-8").strip()
    assert link.samefile(packaged) or told == "src/napari_unetseg/napari.yaml"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_resolves(name: str) -> None:
    module, _, attribute = str(COMMANDS[name].python_name).partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))


def test_every_tool_is_a_dock_and_in_a_menu(manifest: PluginManifest) -> None:
    docks = {widget.command for widget in manifest.contributions.widgets or ()}
    menus = manifest.contributions.menus or {}
    listed = {item.command for items in menus.values() for item in items}
    assert docks
    assert docks == listed


def test_the_menus_are_napari_s_own(manifest: PluginManifest) -> None:
    from napari._app_model.constants import MenuId

    assert set(manifest.contributions.menus or {}) <= {menu.value for menu in MenuId}


def test_every_sample_has_a_command(manifest: PluginManifest) -> None:
    samples = manifest.contributions.sample_data or []
    assert {sample.command for sample in samples} <= set(COMMANDS)
    assert len({sample.key for sample in samples}) == len(samples)
