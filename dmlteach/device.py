"""Where the numbers are crunched: one function turns `--device` into a torch device."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from dmlteach import __version__
from dmlteach.errors import DMLTeachError, unknown_name

DEVICES = ("auto", "cpu", "cuda", "mps")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as glibc's malloc.h counts its parameters


def choose_device(name: str = "auto", float64: bool = False) -> torch.device:
    """The torch device called `name`; "auto" takes a GPU where there is one.

    Args:
        name: "auto" (CUDA, else Apple's MPS, else CPU), "cpu", "cuda" or "mps".
        float64: whether it is to compute in float64, which MPS cannot; "auto" then passes it over.

    Raises:
        DMLTeachError: an unknown name, a GPU that torch cannot use here, or float64 on MPS.
    """
    if name not in DEVICES:
        raise unknown_name("device", name, DEVICES)
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() and not float64 else "cpu")
    if name == "mps" and float64:
        raise DMLTeachError(
            "device 'mps' was asked for, but Apple's GPUs have no float64, in which a network of precision "
            "fp64 computes. Use --device auto or cpu."
        )
    if name == "cuda" and not torch.cuda.is_available():
        raise DMLTeachError(f"device 'cuda' was asked for, but {_why_no_cuda()} Use --device auto or cpu.")
    if name == "mps" and not torch.backends.mps.is_available():
        raise DMLTeachError(
            "device 'mps' was asked for, but it exists only on Apple-silicon Macs with macOS 12.3 or newer. "
            "Use --device auto or cpu."
        )
    return torch.device(name)


class Movable(Protocol):
    """A tensor, or what holds some."""

    def to(self, device: torch.device, *, non_blocking: bool) -> Any: ...


M = TypeVar("M", bound=Movable)


def moved(value: M, device: torch.device) -> M:
    """`value` on `device`, without waiting for the copy where that is safe: only CUDA lets it be.

    CUDA stages what is not pinned, and keeps what is pinned, so the source may go at once. MPS reads it
    later, from memory that may be another's by then.

    Args:
        value: a tensor or pixels, on the CPU.
        device: where it is needed.
    """
    return value.to(device, non_blocking=device.type == "cuda")


@contextmanager
def same_bits(device: torch.device) -> Iterator[None]:
    """Inside, equal trainings on a GPU give equal weights; cuDNN's faster sums come in any order.

    Args:
        device: where one trains. On the CPU nothing changes.
    """
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


@contextmanager
def keeping_freed_memory(device: torch.device) -> Iterator[None]:
    """Within it, what a step on a CPU frees stays with the process, for the next step that needs it again.

    The C library of Linux gives large tensors back to the system as they are freed, which then clears every
    page that the next step asks for: in a network of photographs that was a third of its time. Other systems
    are left as they are.

    Args:
        device: of the training.
    """
    library = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" and device.type == "cpu" else None
    if library is not None:
        library.mallopt(_MMAP_THRESHOLD, 1 << 30)
        library.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
    try:
        yield
    finally:
        if library is not None:
            library.malloc_trim(0)  # now it is given back


def environment(device: torch.device) -> dict[str, Any]:
    """What a result was computed with, to be kept beside it: date, device, processor, threads, versions.

    Args:
        device: where it was computed.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "date": datetime.now().astimezone().isoformat(" ", "minutes"),
        "device": name,
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "versions": {
            "dmlteach": __version__,
            "torch": torch.__version__,
            "Python": platform.python_version(),
        },
    }


def processor() -> str:
    """Name of the CPU; the kind of machine where the system does not tell."""
    with suppress(OSError):  # Linux
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _why_no_cuda() -> str:
    if torch.version.cuda is None:
        return (
            "this torch was built without CUDA: install a CUDA build (pytorch.org, 'Get started') "
            "to use an NVIDIA GPU."
        )
    return "torch finds no usable NVIDIA GPU: `nvidia-smi` should list one, with a recent enough driver."
