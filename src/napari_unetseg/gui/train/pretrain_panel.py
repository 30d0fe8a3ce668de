"""The part of the Train dock with the images and options of pretraining."""

from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.layers import Layer
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_unetseg.core.annotation.pretrain_options import PretrainOptions
from napari_unetseg.core.training.pretraining import Pretraining
from napari_unetseg.gui.shared.data_versions import data_version
from napari_unetseg.gui.shared.form import Form
from napari_unetseg.gui.shared.layers import image_of, is_input, is_report

if TYPE_CHECKING:
    from napari_unetseg.core.nn.training.pretrain import Pretrained

MEASURED = (
    "Measured on fluorescent nuclei with a small UNet and 60 images, 1 to 8 of them labelled: "
    "denoising raised the Dice by 0.02 to 0.05 on average, and in 7 of 8 trainings; masking by "
    "0.01 to 0.03, and in 5 of 8. Other images may gain more, or nothing."
)
"""The measured benefit; see `benchmarks/bench_pretrain.py`."""

_NOTHING, _THIS, _ALL = "nothing", "this image", "all images here"


class PretrainPanel(QWidget):
    """A choice of images to pretrain on, with the options of pretraining.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._done: tuple[tuple[str, ...], Pretrained] | None = None
        self.on = QComboBox()
        self.on.setObjectName("pretrain on")
        self.on.addItems([_NOTHING, _THIS, _ALL])
        self.on.setToolTip(
            "First train the network to restore images, without labels. Useful if there are many "
            "images of one kind and few of them are labelled."
        )
        self.on.currentIndexChanged.connect(lambda: self._arrange())
        self.form: Form[PretrainOptions] = Form(
            PretrainOptions(), first=PretrainOptions.model_fields
        )
        self.about = QLabel(MEASURED)
        self.about.setWordWrap(True)
        row = QFormLayout()
        row.addRow("Pretrain on", self.on)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.form.page)
        column.addWidget(self.about)
        self._arrange()

    def chosen(self, layer: Layer) -> Pretraining | None:
        """Return the pretraining to do before training on `layer`, or None."""
        layers = self._layers(layer)
        if not layers:
            return None
        done = self._done
        pretrained = done[1] if done is not None and done[0] == _key(layers) else None
        return Pretraining([image_of(one) for one in layers], self.form.options, pretrained)

    def key_of(self, layer: Layer) -> tuple[str, ...]:
        """Return a key of the images to pretrain on: the layers and their arrays."""
        return _key(self._layers(layer))

    def remember(self, key: tuple[str, ...], pretrained: "Pretrained | None") -> None:
        """Keep pretrained weights for the next training on the same images.

        Parameters
        ----------
        key
            `key_of` when the training was started, since the choice may have changed.
        """
        if pretrained is not None:
            self._done = key, pretrained

    def _layers(self, layer: Layer) -> list[Layer]:
        if self.on.currentText() == _NOTHING:
            return []
        if self.on.currentText() == _THIS:
            return [layer]
        like = image_of(layer)
        return [one for one in self._viewer.layers if one is layer or _is_like(one, like)]

    def _arrange(self) -> None:
        wanted = self.on.currentText() != _NOTHING
        self.form.page.setVisible(wanted)
        self.about.setVisible(wanted)


def _is_like(layer: Layer, image: Any) -> bool:
    """Whether a layer is an image of the user with the same channels and axes."""
    if not isinstance(layer, ImageLayer) or is_report(layer) or not is_input(layer):
        return False
    other = image_of(layer)
    return bool(other.n_channels == image.n_channels and other.axes == image.axes)


def _key(layers: list[Layer]) -> tuple[str, ...]:
    """Return a key of images: the layers and their arrays."""
    return tuple(f"{layer.unique_id} {data_version(layer)}" for layer in layers)


__all__ = ["MEASURED", "PretrainPanel"]
