"""Where and how torch computes: device, threads, precision, memory."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from napari_unetseg.core.annotation.train_options import Precision
from napari_unetseg.core.options import Device

_NAMES = {
    "cpu": "CPU",
    "cuda": "graphics processor (CUDA)",
    "mps": "Apple graphics (MPS)",
}
_KEPT_BYTES = 1 << 29
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True)
class Choice:
    """The device to compute on, and a sentence about it for people."""

    device: torch.device
    message: str
    fallback: bool = False


def choose_device(wanted: Device = "auto") -> Choice:
    """Return the device to use.

    Parameters
    ----------
    wanted
        ``"auto"`` takes CUDA, then MPS, then the CPU. One that is missing is replaced by the CPU,
        and `Choice.fallback` and the message say so.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        name = next(name for name, found in there.items() if found)
        return Choice(torch.device(name), f"Running on the {_described(name)}.")
    if there[wanted]:
        return Choice(torch.device(wanted), f"Running on the {_described(wanted)}.")
    message = (
        f"torch finds no {_NAMES[wanted]} here, so this runs on the {_described('cpu')}, which is "
        "much slower. Check the driver and that torch was built for it."
    )
    return Choice(torch.device("cpu"), message, fallback=True)


def _described(name: str) -> str:
    if name == "cuda":
        return f"{_NAMES[name]}: {torch.cuda.get_device_name()}"
    n = torch.get_num_threads()
    return f"{_NAMES[name]}, {n} thread{'s' * (n != 1)}" if name == "cpu" else _NAMES[name]


@contextlib.contextmanager
def threads(*, spare_core: bool = False) -> Iterator[int]:
    """Set how many threads torch uses inside, and put it back.

    Parameters
    ----------
    spare_core
        Leave one core to the window and to everything else.

    Notes
    -----
    The number belongs to the thread that computes: call this in it.
    """
    before = torch.get_num_threads()
    allowed = getattr(os, "sched_getaffinity", None)
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    number = max(1, min(before, cores - spare_core) if spare_core else before)
    torch.set_num_threads(number)
    try:
        yield number
    finally:
        torch.set_num_threads(before)


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether a device has instructions for bfloat16; without, it is 8 to 30 times slower.

    Of processors, these are x86-64 with AVX512-BF16 or AMX, which includes it; of graphics
    processors, those of compute capability 8.0. On a processor, a torch that cannot be asked
    (before 2.6), or whose `ATEN_CPU_CAPABILITY` is lower, computes in float32.
    """
    if device.type == "cuda":
        # torch's own answer counts older ones, which emulate it.
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    has_instructions = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    allowed = torch.backends.cpu.get_cpu_capability().startswith(("AVX512", "AVX10"))
    return allowed and has_instructions()


def mixed_precision(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return a context that computes in bfloat16, if it is allowed and the device has it."""
    if precision == "float32" or not computes_bfloat16(device):
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def keep_freed_memory() -> bool:
    """Ask the C library to reuse large blocks rather than return them to the system.

    A network allocates and frees the same large arrays at every step; fetching fresh pages each
    time costs up to a third of it. Linux with glibc alone, for the life of the process.

    Returns
    -------
    bool
        Whether it was possible.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES) and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))
