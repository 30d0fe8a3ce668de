"""Read untrusted YAML as plain data, within limits, and write plain data as YAML.

A few lines of YAML can refer to themselves endlessly, or expand by repeated aliases to more than
any memory. So a text is checked node by node as it is parsed, then along its aliases, and is only
made into data if its content is small.
"""

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.composer import Composer

from napari_unetseg.core.errors import InputError

MAX_BYTES = 2**20
MAX_DEPTH = 32
MAX_NODES = 50_000

_LONGEST_NUMBER = 64
_TEXT = "tag:yaml.org,2002:str"

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _CheckedComposer(Composer):
    """Compose nodes and check their number and depth, since the compiled composer cannot."""

    _what, _depth, _count = "The text", 0, 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, unless the text is longer or deeper than any description."""
        self._count += 1
        if self._depth >= MAX_DEPTH or self._count > MAX_NODES:
            raise InputError(
                f"{self._what} is nested too deep or too long. It was not read; check the file."
            )
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Loader(_CheckedComposer, _Parser):  # type: ignore[misc]
    """Make data from a text that is parsed once."""

    def __init__(self, text: str, what: str) -> None:
        _Parser.__init__(self, text)
        Composer.__init__(self)
        self._what = what


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
    return read_yaml_nodes(data, what)[0]


def read_yaml_nodes(data: bytes, what: str) -> tuple[dict[str, Any], Any]:
    """Read the mapping in a YAML text, and its node, whose parts have their lines in the text.

    See Also
    --------
    read_yaml : the parameters and the errors.
    """
    if len(data) > MAX_BYTES:
        raise InputError(
            f"{what} is longer than {MAX_BYTES} bytes, the limit for a text. Choose another file."
        )
    try:
        loader = _Loader(data.decode("utf-8"), what)
        try:
            root = loader.get_single_node()
            _check_growth(root, what)
            content = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{what} cannot be read as YAML. Save or export it again.") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{what} is not a mapping of names to values. Save or export it again.")
    return content, root


def yaml_bytes(content: dict[str, Any]) -> bytes:
    """Write plain data as YAML in UTF-8, in its own order and without aliases."""
    dumper = type("_Plain", (_Dumper,), {"ignore_aliases": lambda self, data: True})
    text: str = yaml.dump(content, Dumper=dumper, sort_keys=False, allow_unicode=True, width=100)
    return text.encode("utf-8")


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


__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "read_yaml", "read_yaml_nodes", "yaml_bytes"]
