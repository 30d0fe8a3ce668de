"""Options: declared once, shared by form, command line, recipe and documentation."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_unetseg.core.errors import InputError

Device = Literal["auto", "cpu", "cuda", "mps"]
"""Hardware to compute on."""


class Options(BaseModel):
    """Base class of all options: frozen, with a default for every field and no unknown fields.

    A field is `bool`, `int`, `float`, `str` or a `Literal` of strings, always with a default. Its
    `title` is the label in the form, its `description` the help text everywhere. Bounds (`ge`,
    `le`, `gt`, `lt`) apply in the form, on the command line and in a recipe alike. See `option`.
    """

    # Validators are built on first use: a dock needs only a few of the options classes at startup.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, defer_build=True)

    @classmethod
    def checked(cls, **values: Any) -> Self:
        """Build the options, turning a validation failure into one readable sentence.

        Raises
        ------
        InputError
            When a value is out of range or unknown; the message names the field and the value.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or cls.__name__
            if first["type"] == "value_error":
                raise InputError(f"{first['msg'].removeprefix('Value error, ')}") from error
            raise InputError(f"{field} = {first['input']!r}: {first['msg'].lower()}.") from error


def option(
    default: Any,
    title: str,
    help: str,  # noqa: A002 - the field's own word
    *,
    when: dict[str, tuple[Any, ...]] | None = None,
    step: float | None = None,
    slider: bool = False,
    advanced: bool = False,
    group: str = "",
    flag: str = "",
    suggestions: tuple[str, ...] = (),
    zero: str = "",
    **bounds: Any,
) -> Any:
    """Declare a field of an `Options` class.

    Parameters
    ----------
    default
        The default value.
    title
        Label in the form.
    help
        One or two sentences: the effect, the unit, when to change it.
    when
        Other fields and the values they must have for this field to apply; the form hides it
        otherwise.
    step, slider
        Increment and widget of a number in the form.
    advanced
        Shown only when the advanced part of the form is expanded.
    group
        Heading of the fields that belong together, in the advanced part of the form.
    flag
        Command-line flag, when it is not the field's own name.
    suggestions
        Values offered for a `str` field that also accepts free text.
    zero
        Word for 0 in the form and on the pages, for a number whose lowest value is 0.
    **bounds
        `ge`, `gt`, `le`, `lt` and anything else pydantic's `Field` takes.
    """
    layout = {
        "when": when,
        "step": step,
        "slider": slider,
        "advanced": advanced,
        "group": group,
        "flag": flag,
        "suggestions": suggestions,
        "zero": zero,
    }
    extra: Any = {key: value for key, value in layout.items() if value}
    return Field(default=default, title=title, description=help, json_schema_extra=extra, **bounds)


def seed_option(group: str = "") -> Any:
    """Declare the field `seed` of an options class."""
    return option(
        0,
        "Seed",
        "Random seed: the same seed gives the same random choices.",
        ge=0,
        le=2**31 - 1,
        advanced=True,
        group=group,
    )


def device_option(group: str = "") -> Any:
    """Declare the field that chooses the hardware to compute on, a `Device`."""
    return option(
        "auto",
        "Device",
        "Processor to compute on. Automatic uses a graphics processor if there is one.",
        advanced=True,
        group=group,
    )
