"""Compare a shipped model in eight bits with our own prediction: speed, and labels that differ.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_int8.py DATA [--model nuclei] [--rounds 5]

DATA contains `nuclei_fluo_cc0` and `train/nuclei_fluo_cc0`. The network is exported to ONNX, and
calibrated to eight bits on twelve training images by ONNX Runtime; OpenVINO reads the same file.
All methods predict one image of sixteen test images side by side, with one thread each, in the
same rounds: ours like the Predict dock, the others one block of the same size without any other
work, so the ratio is an upper bound of the gain. "Agree" is the share of pixels with our label;
"Dice" is that of the foreground with the ground truth. Needs onnx, onnxruntime and openvino.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import torch
from architectures import nuclei
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.nn.inference.network_segmenter import folded
from napari_unetseg.core.nn.networks.output_heads import probabilities
from napari_unetseg.core.nn.restore import network_of
from napari_unetseg.core.normalisation import fit_normalisation
from napari_unetseg.core.scoring.pixel_scores import dice

ACROSS, LEARNT = 4, 12
Way = Callable[[], np.ndarray]


class Calibration(CalibrationDataReader):
    """Yield training images one by one, as ONNX Runtime's calibration needs them."""

    def __init__(self, blocks: list[np.ndarray]) -> None:
        self._blocks = iter(blocks)

    def get_next(self) -> dict[str, np.ndarray] | None:
        block = next(self._blocks, None)
        return None if block is None else {"image": block}


def foreground(found: np.ndarray, decoder: Any) -> np.ndarray:
    """Return the foreground mask of labels or of a network's outputs."""
    if found.ndim == 2:
        return found > 0
    proba = probabilities(torch.from_numpy(found), decoder)[0]
    return (proba[1] > proba[0]).numpy()


def side_by_side(parts: list[np.ndarray]) -> np.ndarray:
    """Join square images into one picture."""
    rows = [np.concatenate(parts[k : k + ACROSS], 1) for k in range(0, ACROSS**2, ACROSS)]
    return np.concatenate(rows, 0)


def exported(network: torch.nn.Module, folder: Path, blocks: list[np.ndarray]) -> dict[str, Path]:
    """Write the network as float and calibrated to eight bits; return the files."""
    files = {name: folder / f"{name}.onnx" for name in ("float", "prepared", "int8")}
    axes = {"image": {2: "y", 3: "x"}, "evidence": {2: "y", 3: "x"}}
    names: Any = {"input_names": ["image"], "output_names": ["evidence"], "dynamic_axes": axes}
    torch.onnx.export(
        network, (torch.from_numpy(blocks[0]),), files["float"], dynamo=False, **names
    )
    quant_pre_process(files["float"], files["prepared"], skip_symbolic_shape=True)
    quantize_static(
        files["prepared"],
        files["int8"],
        Calibration(blocks),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        # Without VNNI instructions, sums of full 8-bit products overflow.
        reduce_range=True,
    )
    return files


def by_runtimes(files: dict[str, Path], block: np.ndarray) -> dict[str, Way]:
    """Make the functions that run the files in ONNX Runtime and OpenVINO."""
    ways: dict[str, Way] = {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    core = openvino.Core()
    for bits in ("float", "int8"):
        session = onnxruntime.InferenceSession(
            str(files[bits]), options, providers=["CPUExecutionProvider"]
        )
        settings = {"INFERENCE_NUM_THREADS": 1}
        compiled = core.compile_model(core.read_model(files[bits]), "CPU", settings)
        request = compiled.create_infer_request()
        ways[f"ONNX Runtime, {bits}"] = lambda s=session: s.run(None, {"image": block})[0]
        ways[f"OpenVINO, {bits}"] = lambda r=request: next(iter(r.infer([block]).values()))
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model = shipped.open_shipped(asked.model)
    learnt, tested = nuclei(asked.data)
    square = [(np.asarray(i.data), mask) for i, mask in tested if i.data.shape == (256, 256)]
    picture, truth = (side_by_side([one[k] for one in square[: ACROSS**2]]) for k in (0, 1))
    image = Image.of(picture)
    given = fit_normalisation(image, model.normalisation).apply(picture[None])[None]
    small = [i for i, _ in learnt if i.data.shape == (256, 256)][:LEARNT]
    blocks = [
        fit_normalisation(i, model.normalisation).apply(np.asarray(i.data)[None])[None]
        for i in small
    ]
    network = folded(network_of(model))
    ours = "ours, the whole of Predict"
    ways: dict[str, Way] = {ours: lambda: predict(model, image).asarray()}
    laid = torch.from_numpy(given).contiguous(memory_format=torch.channels_last)
    lying: Any = network.to(memory_format=torch.channels_last)

    def bare() -> np.ndarray:
        with torch.inference_mode():
            return lying(laid).numpy()

    with tempfile.TemporaryDirectory() as folder:
        files = exported(network, Path(folder), blocks)
        ways |= {"ours, bare": bare, **by_runtimes(files, given)}
        found = {name: way() for name, way in ways.items()}
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(asked.rounds):
            for name, way in ways.items():
                began = time.process_time()
                way()
                spent[name].append(time.process_time() - began)
    labels = {name: foreground(one, model.decoder) for name, one in found.items()}
    known = labels["ours, bare"]
    print(f"{asked.model}, {model.spec.size_in_words}, {picture.shape}")
    print("| way | Mpx per processor s | times Predict | agree, % | Dice |\n|---|--:|--:|--:|--:|")
    for name, seconds in spent.items():
        ratio = np.median(np.asarray(spent[ours]) / np.asarray(seconds))
        agree = 100 * np.mean(labels[name] == known)
        print(
            f"| {name} | {picture.size / 1e6 / np.median(seconds):.2f} | {ratio:.2f} "
            f"| {agree:.2f} | {dice(labels[name].astype(np.uint8), truth):.4f} |"
        )


if __name__ == "__main__":
    main()
