"""YAML from strangers: read as plain data, within limits.

A few lines of YAML can name themselves without end, or grow by repeated names to more than any
memory. So a text is looked through first, instruction by instruction and then along its names, and
only built when what it describes is small.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from napari_unetseg.core.errors import InputError

MAX_BYTES = 2**20
MAX_DEPTH = 32
MAX_NODES = 50_000

_LONGEST_NUMBER = 64
_TEXT = "tag:yaml.org,2002:str"

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def read_yaml(data: bytes, what: str) -> dict[str, Any]:
    """Return the mapping that a YAML text describes.

    Parameters
    ----------
    data
        The text, in UTF-8.
    what
        What to call it in messages, as the start of a sentence.

    Raises
    ------
    InputError
        When it is no YAML mapping, or describes more than a description ever has.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"{what} is longer than {MAX_BYTES} bytes. It is not read.")
    try:
        text = data.decode("utf-8")
        _check_depth(text, what)
        _check_growth(yaml.compose(text, Loader=_Loader), what)
        content = yaml.load(text, Loader=_Loader)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{what} cannot be read as YAML. Save or export it again.") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{what} is no list of named values. Save or export it again.")
    return content


def written_yaml(content: dict[str, Any]) -> bytes:
    """Return plain data as YAML in UTF-8, in its own order, repeating rather than naming."""
    dumper = type("_Plain", (_Dumper,), {"ignore_aliases": lambda self, data: True})
    text: str = yaml.dump(content, Dumper=dumper, sort_keys=False, allow_unicode=True, width=100)
    return text.encode("utf-8")


def _check_depth(text: str, what: str) -> None:
    """Check how deep and how long a text is, before anything that calls itself reads it."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise InputError(f"{what} is nested too deep or too long to be one. It is not read.")


def _check_growth(root: Any, what: str) -> None:
    """Check that a text stays small when every name in it is replaced by what it stands for."""
    count, waiting = 0, [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        count += 1
        # What names itself is endlessly deep.
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise InputError(f"{what} refers to itself over and over. It is not read.")
        if (
            isinstance(node, yaml.ScalarNode)
            and node.tag != _TEXT
            and len(node.value) > _LONGEST_NUMBER
        ):
            raise InputError(f"{what} holds a number of {len(node.value)} digits. It is not read.")
        waiting.extend((child, depth + 1) for child in _children(node))


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value


__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "read_yaml", "written_yaml"]
