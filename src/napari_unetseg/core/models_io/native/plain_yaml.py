"""Read untrusted YAML as plain data, within limits, and write plain data as YAML.

A few lines of YAML can refer to themselves endlessly, or expand by repeated aliases to more than
any memory. So a text is first checked event by event and then along its aliases, and is only
loaded if its content is small.
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
    """Read the mapping in a YAML text.

    Parameters
    ----------
    data
        The text, in UTF-8.
    what
        Name of the text for messages, at the start of a sentence.

    Raises
    ------
    InputError
        When it is not a YAML mapping, or is larger than any description.
    """
    if len(data) > MAX_BYTES:
        raise InputError(
            f"{what} is longer than {MAX_BYTES} bytes, the limit for a text. Choose another file."
        )
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
        raise InputError(f"{what} is not a mapping of names to values. Save or export it again.")
    return content


def yaml_bytes(content: dict[str, Any]) -> bytes:
    """Write plain data as YAML in UTF-8, in its own order and without aliases."""
    dumper = type("_Plain", (_Dumper,), {"ignore_aliases": lambda self, data: True})
    text: str = yaml.dump(content, Dumper=dumper, sort_keys=False, allow_unicode=True, width=100)
    return text.encode("utf-8")


def _check_depth(text: str, what: str) -> None:
    """Check the depth and length of a text before a recursive function reads it."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise InputError(
                f"{what} is nested too deep or too long. It was not read; check the file."
            )


def _check_growth(root: Any, what: str) -> None:
    """Check that a text stays small when all its aliases are expanded."""
    count, waiting = 0, [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        count += 1
        # A node that contains itself is infinitely deep.
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise InputError(
                f"{what} refers to itself repeatedly. It was not read; check the file."
            )
        if (
            isinstance(node, yaml.ScalarNode)
            and node.tag != _TEXT
            and len(node.value) > _LONGEST_NUMBER
        ):
            raise InputError(
                f"{what} contains a number of {len(node.value)} digits. It was not read; check the "
                "file."
            )
        waiting.extend((child, depth + 1) for child in _children(node))


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value


__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "read_yaml", "yaml_bytes"]
