"""Define the recipe steps that need more than the options of one function."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from napari_unetseg.core.inference.object_size import SizeOptions
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.io.image_step import ImageStep, Names
from napari_unetseg.core.measure import MeasureOptions
from napari_unetseg.core.objects.compartments import CellOptions
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.threshold import check_values
from napari_unetseg.core.threshold.threshold_options import ThresholdOptions


def _as_tuple(value: Any) -> Any:
    """Convert a list, as YAML gives it, to a tuple."""
    return tuple(value) if isinstance(value, list) else value


Levels = Annotated[tuple[float, ...], BeforeValidator(_as_tuple)]


class ThresholdStep(ThresholdOptions):
    """Set the thresholding of an image, optionally at levels set by hand."""

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
    """Identify the model to run."""

    file: str = Field(
        title="File",
        description="The model file, relative to the recipe's folder; or the name of a model "
        "shipped with napari-unetseg.",
        min_length=1,
        max_length=4096,
        pattern=r"^[^\x00-\x1f]*$",
    )
    sha256: str = Field(
        title="SHA-256",
        description="SHA-256 of the file, to check that it is the same model.",
        pattern=r"^[0-9a-f]{64}$",
    )


class ModelStep(PredictOptions, _WhichModel):
    """Set the model to run and the prediction options."""

    @model_validator(mode="after")
    def _of_one_size(self) -> Self:
        given = [name for name in SizeOptions.model_fields if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(
                f"{' and '.join(given)} each set the size at which the model sees the image. "
                "Leave all but one out."
            )
        return self


class CellStep(CellOptions):
    """Set how the cells of the nuclei are found, when the objects of the recipe are nuclei."""

    channel: Names = option(
        "",
        "Channel of the cells",
        "Channel in which cells are found and boundaries followed: its name, or its number counted "
        "from 0; empty for an image of one channel.",
        when={"method": ("objects", "mask")},
    )


class MeasurementStep(MeasureOptions):
    """Set the measurements of objects and the source of their intensities."""

    intensities: Literal["image", "flattened", "none"] = option(
        "image",
        "Intensities of",
        "The image as recorded, with all its channels; the background-corrected image; or no "
        "intensities.",
    )


__all__ = ["CellStep", "ImageStep", "MeasurementStep", "ModelStep", "ThresholdStep"]
