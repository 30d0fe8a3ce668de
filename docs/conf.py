"""The documentation: how to use it, what each dock and command does, the gallery, what changed."""

from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

project = "napari-unetseg"
author = "The napari-unetseg developers"
version = release = metadata.version(project)

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
# A block that names no language is what is typed into a terminal.
highlight_language = "text"
html_theme = "furo"
html_title = project
exclude_patterns = ["_build", "gallery/*.py", "gallery/*.ipynb", "gallery/*.md5"]
myst_heading_anchors = 3
# A name such as ndim is that of several classes; which is meant does not matter to a reader.
suppress_warnings = ["config.cache", "ref.python"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"
# What pydantic adds to every options class is no part of what it says.
autodoc_default_options = {"exclude-members": "model_config, model_post_init"}
napoleon_google_docstring = False

sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "examples"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",
    "within_subsection_order": "FileNameSortKey",
    "copyfile_regex": r".*\.rst",
    "download_all_examples": False,
    "remove_config_comments": True,
    "abort_on_example_error": True,
    "show_memory": False,
}
