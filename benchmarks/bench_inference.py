"""Measure the prediction speed of a UNet, next to the textbook's UNet and other runtimes.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_inference.py [--side 1024] [--rounds 5]
        [--threads 1]

The textbook's UNet is that of `textbook.py`; it runs in plain torch on tiles of 256x256 without
overlap, which is the least work possible. Our setting of the C library, to keep freed memory,
applies to the whole process and helps it as well. Ours predicts the whole image like the Predict
dock: scaled, in tiles with their halo, softmax, pasted. OpenVINO and ONNX Runtime run our default
network on one block, if they are installed. All methods run in the same rounds; the time is that
of the processor, over all threads, so that other work on the machine has little effect, and the
ratio is the median over the rounds. Weights are random: speed does not depend on them.
"""

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from textbook import PATCH, TextbookUNet, tiled
from torch import nn

from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import predict_proba_image
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.nn.inference.network_segmenter import NetworkSegmenter, folded
from napari_unetseg.core.nn.networks.build_network import build_network, n_parameters
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.samples import nuclei

TEXTBOOK = "textbook, 32 channels"
OURS = {
    "ours, default": {},
    "ours, half resolution": {"resolution": "half"},
    "ours, quarter resolution": {"resolution": "quarter"},
    "ours, 8 channels": {"width": 8},
    "ours, separable": {"separable": True},
    "ours, without the space-to-depth stem": {"stem": "plain"},
}


def of_image(image: Image, options: dict[str, object]) -> tuple[nn.Module, Callable[[], object]]:
    """Make one of our networks, and the function that predicts an image with it."""
    spec = spec_of("unet", options)
    network = build_network(spec, 1, 2, 2, seed=0).eval()
    segmenter = NetworkSegmenter(network, spec, ("background", "cell"), 1, 2)
    scaling = fit_normalisation(image, NormalisationSpec())
    return network, lambda: predict_proba_image(image, segmenter, scaling)


def by_others(
    network: nn.Module, image: np.ndarray, threads: int
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield functions that run a network in the other installed runtimes."""
    block = image[None, None].astype(np.float32)
    example = torch.from_numpy(block)
    ready = folded(network)
    if find_spec("openvino"):
        import openvino

        core, model = openvino.Core(), openvino.convert_model(ready, example_input=example)
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        yield "ours, default, by OpenVINO", lambda: request.infer([block])
    if find_spec("onnxruntime") and find_spec("onnx"):
        import onnxruntime

        out = io.BytesIO()
        torch.onnx.export(ready, (example,), out, dynamo=False, input_names=["image"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(
            out.getvalue(), options, providers=["CPUExecutionProvider"]
        )
        yield "ours, default, by ONNX Runtime", lambda: session.run(None, {"image": block})


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("--side", type=int, default=1024)
    asking.add_argument("--rounds", type=int, default=5)
    asking.add_argument("--threads", type=int, default=1)
    asking.add_argument("--out", type=Path, help="JSON to write the figures to")
    asked = asking.parse_args()
    torch.set_num_threads(asked.threads)
    grey = nuclei((asked.side, asked.side), seed=0).image
    image, pixels = Image.of(grey), asked.side**2 / 1e6
    plain, given = TextbookUNet().eval(), grey[None].astype(np.float32)
    ways: dict[str, Callable[[], object]] = {TEXTBOOK: lambda: tiled(plain, given, PATCH)}
    sizes = {TEXTBOOK: n_parameters(plain)}
    for name, options in OURS.items():
        network, ways[name] = of_image(image, options)
        sizes[name] = n_parameters(network)
        if not options:
            ways |= by_others(network, grey, asked.threads)
    spent = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(asked.rounds):
        for name, way in ways.items():
            began = time.process_time()
            way()
            spent[name].append(time.process_time() - began)
    base = np.asarray(spent[TEXTBOOK])
    results = {}
    print(f"{asked.side}x{asked.side}, {asked.threads} thread(s), {asked.rounds} rounds")
    print("| way | parameters | Mpx per processor second | times the textbook |\n|---|--:|--:|--:|")
    for name, seconds in spent.items():
        ratio = float(np.median(base / np.asarray(seconds)))
        results[name] = {"mpx_per_second": pixels / float(np.median(seconds)), "ratio": ratio}
        count = f"{sizes[name]:,}" if name in sizes else ""
        print(f"| {name} | {count} | {pixels / np.median(seconds):.2f} | {ratio:.1f} |")
    if asked.out:
        asked.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
