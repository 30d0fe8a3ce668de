"""The check of names and docstrings finds what it is there for, and passes what is right."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GOOD = '"""Fit a surface."""\n\n\ndef fit():\n    """Fit."""\n'


@pytest.fixture(scope="module")
def check():
    spec = importlib.util.spec_from_file_location("checked", ROOT / "tools" / "check_language.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("files", "expected", "message"),
    [
        ({"a.py": GOOD}, 0, "0 of 2 docstrings (0.0%"),
        (
            {"a.py": GOOD, "b/c.py": '"""Return what is told."""\n'},
            1,
            "b/c.py:1: Return what is told.",
        ),
        ({"a.py": GOOD, "b.py": GOOD}, 1, "public name with two meanings: fit: a.py, b.py"),
        ({"a.py": GOOD, "b/a.py": ""}, 1, "file name with two meanings: a: a.py, b/a.py"),
        ({"a.py": GOOD, "b/__init__.py": "", "c/__init__.py": ""}, 0, "0 file names"),
    ],
)
def test_the_check_of_language(check, tmp_path, capsys, files, expected, message):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert check.main(tmp_path) == expected
    assert message in capsys.readouterr().out
