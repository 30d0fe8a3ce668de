"""Turn options into command-line flags: a field that a form shows becomes ``--name``."""

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.options import Options

Command = Callable[..., None]
AnyOptions = TypeVar("AnyOptions", bound=Options)
Spell = Callable[[str, FieldInfo, Any], str]
"""Function that writes a field for messages, from its name, itself, and its value or None."""


def with_options(
    options: type[Options], *, only: Collection[str] = (), into: str = "options"
) -> Callable[[Command], Command]:
    """Turn a parameter of a command, `options`, into one flag for each field.

    Parameters
    ----------
    options
        The source of names, types, defaults, choices, ranges and help. A field's flag is its name
        with hyphens, or the `flag` it declares. A flag that has an effect only with another option
        sets that option, unless it is given too: ``--value 9`` alone means
        ``--method manual --value 9``.
    only
        The fields to turn into flags; all if empty.
    into
        Name of the parameter; a command with several is decorated once for each.

    Returns
    -------
    callable
        A decorator. The decorated function is called with the checked options, whose
        `model_fields_set` are the flags that were given; values out of range, and flags without an
        effect, raise `InputError` that names the flags.
    """

    def decorate(function: Command) -> Command:
        own = list(inspect.signature(function, eval_str=True).parameters.values())
        position = next(number for number, p in enumerate(own) if p.name == into)
        fields = {n: f for n, f in options.model_fields.items() if not only or n in only}
        flags = [_parameter(name, field) for name, field in fields.items()]

        @functools.wraps(function)
        def command(context: typer.Context, **values: Any) -> None:
            chosen = {name: values.pop(name) for name in fields}
            given = {name: chosen[name] for name in chosen if _was_given(context, name)}
            passed = {"context": context} if decorated else {}
            function(**passed, **{into: make_options(options, given)}, **values)

        decorated = own[0].name == "context"
        context = inspect.Parameter(
            "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
        )
        first = [] if decorated else [context]
        parameters = [*first, *own[:position], *flags, *own[position + 1 :]]
        # typer reads both; with __wrapped__ it would read the undecorated function.
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        del command.__wrapped__
        return command

    return decorate


def make_options(
    options: type[AnyOptions], given: Mapping[str, Any], spell: Spell | None = None
) -> AnyOptions:
    """Make options from the given values, and set the options they depend on.

    Parameters
    ----------
    given
        Values by field, as numbers or as text.
    spell
        Writes a field and its value in error messages; as a flag if None.

    Raises
    ------
    InputError
        When a value is out of range, or would have no effect with the others.
    """
    spelled = spell or _as_flag
    chosen = dict(given)
    _satisfy(options, chosen, spelled)
    try:
        return options.checked(**chosen)
    except InputError as error:
        text = str(error)
        for name, field in options.model_fields.items():
            if text.startswith(f"{name} = "):
                text = text.replace(f"{name} = ", f"{spelled(name, field, None)} ", 1)
        raise InputError(text) from error


def changed_options(
    base: AnyOptions, given: Mapping[str, Any], spell: Spell | None = None
) -> AnyOptions:
    """Return options with some values changed; others without an effect are reset.

    See Also
    --------
    make_options : the parameters and the errors.
    """
    fields = type(base).model_fields
    values = {**base.model_dump(), **given}
    idle = {
        name
        for name, field in fields.items()
        for other, values in (_extra(field).get("when") or {}).items()
        if name not in given and other in given and given[other] not in values
    }
    chosen = {name: value for name, value in values.items() if name not in idle}
    return make_options(type(base), chosen, spell)


def flag_of(name: str, field: FieldInfo) -> str:
    """Return the flag of a field, with its two hyphens."""
    given = _extra(field).get("flag") or name
    return "--" + str(given).lstrip("-").replace("_", "-")


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _satisfy(options: type[Options], chosen: dict[str, Any], spell: Spell) -> None:
    """Set the options that the chosen ones depend on; raise for one without an effect."""
    fields = options.model_fields
    given = set(chosen)
    allowed: dict[str, list[Any]] = {}
    for name in (name for name in fields if name in given):
        for other, values in (_extra(fields[name]).get("when") or {}).items():
            left = [value for value in allowed.get(other, values) if value in values]
            if other in given:
                left = [value for value in left if value == chosen[other]]
            if not left:
                needed = " or ".join(spell(other, fields[other], value) for value in values)
                raise InputError(
                    f"{spell(name, fields[name], None)} has an effect only with {needed}. "
                    "Give one of them, or leave it out."
                )
            allowed[other] = left
    for other, values in allowed.items():
        if chosen.get(other, fields[other].default) not in values:
            chosen[other] = values[0]


def _as_flag(name: str, field: FieldInfo, value: Any) -> str:
    flag = flag_of(name, field)
    return flag if value is None or value is True else f"{flag} {value}"


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    kind, choices = _kind(field.annotation)
    flag = flag_of(name, field)
    names = f"{flag}/--no-{flag[2:]}" if kind is bool and field.default else flag
    declared = typer.Option(
        names,
        help=_help(field),
        metavar="|".join(choices) if choices else None,
        show_default=kind is not bool and field.default not in (None, ""),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=field.default,
        annotation=Annotated[kind if field.default is not None else kind | None, declared],
    )


def _kind(annotation: Any) -> tuple[Any, tuple[str, ...]]:
    """Return the type of a flag's value, and its choices if it is a Literal."""
    if get_origin(annotation) is Literal:
        return str, get_args(annotation)
    inner = [member for member in get_args(annotation) if member is not NoneType]
    if inner and NoneType in get_args(annotation):
        return _kind(inner[0])
    return (annotation if annotation in (bool, int, float) else str), ()


def _help(field: FieldInfo) -> str:
    bounds = _range(field.metadata)
    return f"{field.description} ({bounds})" if bounds else str(field.description or "")


def _range(metadata: Iterable[Any]) -> str:
    """Format a field's bounds: from 0 to 10, above 0, at most 5."""
    limits = {
        name: getattr(bound, name)
        for bound in metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(bound, name, None) is not None
    }
    if "ge" in limits and "le" in limits:
        return f"from {limits['ge']:,} to {limits['le']:,}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return ", ".join(f"{words[name]} {limit:,}" for name, limit in limits.items())
