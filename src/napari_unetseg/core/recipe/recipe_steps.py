"""The steps of a recipe that are more than the options of one function."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from napari_unetseg.core.inference.object_size import SizeOptions
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.measure import MeasureOptions
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.threshold import check_values
from napari_unetseg.core.threshold.threshold_options import ThresholdOptions


def _as_tuple(said: Any) -> Any:
    """Return a list, which is what YAML knows, as a tuple."""
    return tuple(said) if isinstance(said, list) else said


Levels = Annotated[tuple[float, ...], BeforeValidator(_as_tuple)]


class ImageStep(Options):
    """What of an image is worked on."""

    axes: str = option(
        "",
        "Axes",
        "One letter of TCZYX for each axis, for files that do not say; nothing takes what the file "
        "says.",
        pattern=r"^[TCZYX]{0,5}$",
    )
    channel: str = option(
        "",
        "Channel",
        "Which channel is segmented: its name, or its number counted from 0; nothing for all.",
    )


class ThresholdStep(ThresholdOptions):
    """How an image becomes a mask, perhaps at levels that a hand has set."""

    values: Levels = Field(
        default=(),
        title="Levels",
        description="Levels in the units of the image, used for every image instead of those that "
        "the method finds.",
    )

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if self.values:
            check_values(self.values, self)
        return self


class _WhichModel(Options):
    """The model that is run."""

    file: str = Field(
        title="File",
        description="The model's file, as seen from the recipe's folder; or the name of a model "
        "that ships.",
        min_length=1,
        max_length=4096,
        pattern=r"^[^\x00-\x1f]*$",
    )
    sha256: str = Field(
        title="SHA-256",
        description="Hash of the file, which says that it is the same model.",
        pattern=r"^[0-9a-f]{64}$",
    )


class ModelStep(PredictOptions, _WhichModel):
    """The model that is run, and how."""

    @model_validator(mode="after")
    def _of_one_size(self) -> Self:
        given = [name for name in SizeOptions.model_fields if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(
                f"{' and '.join(given)} each say at which size the image is shown to the model. "
                "Leave all but one out."
            )
        return self


class MeasurementStep(MeasureOptions):
    """What is measured of objects, and where their intensities come from."""

    intensities: Literal["image", "flattened", "none"] = option(
        "image",
        "Intensities of",
        "The image as it was read, with all its channels; the image with the background taken "
        "out; or no intensities.",
    )


__all__ = ["ImageStep", "MeasurementStep", "ModelStep", "ThresholdStep"]
