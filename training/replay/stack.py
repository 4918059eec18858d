"""The stack a training runs on: everything beside its settings that decides which bits come out."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from provenance.canonical import canonical_json, sha256_hex
from training.compiled import compiler_release
from training.config import TrainConfig

LIBRARIES = ("accelerate", "diffusers", "numpy", "peft", "pillow", "safetensors", "torch", "transformers")
# What kernels are chosen by: the vector and matrix extensions of x86 and of ARM.
_EXTENSIONS = re.compile(r"(avx|amx|fma|f16c|sse4|asimd|sve|sme|bf16|i8mm)\w*")
_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Difference:
    """One entry of a stack that is not the same there and here; None where it is missing."""

    name: str
    recorded: str | None
    here: str | None


def stack_of(device: str, threads: int, config: TrainConfig) -> dict[str, str]:
    """Names and values: processor, its extensions, threads, device, driver, libraries and this package's own code."""
    import torch

    found = {
        "code": code_digest(),
        "device": device,
        "extensions": _extensions(),
        "isa": torch.backends.cpu.get_cpu_capability(),
        "libc": " ".join(platform.libc_ver()).strip(),
        "machine": platform.machine(),
        "processor": processor(),
        "system": platform.system(),
        "threads": str(threads),
        "torch_build": torch.__version__,
    }
    if device == "cuda":
        capability = torch.cuda.get_device_capability()
        found |= {
            "accelerator": torch.cuda.get_device_name(),
            "capability": f"{capability[0]}.{capability[1]}",
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
            "driver": _driver(),
        }
    found |= compiler_release(config)
    found |= {f"version/{name}": version for name, version in versions(config).items()}
    return {name: value for name, value in found.items() if value}


def differences(recorded: Mapping[str, str], here: Mapping[str, str]) -> tuple[Difference, ...]:
    """What differs between two stacks, by name."""
    names = sorted(recorded.keys() | here.keys())
    return tuple(Difference(n, recorded.get(n), here.get(n)) for n in names if recorded.get(n) != here.get(n))


def is_repeatable(device: str, threads: int, config: TrainConfig) -> bool:
    """Whether the same stack gives the same bits again.

    Measured: one CPU thread does; more threads, and accelerators outside deterministic mode, do not always. A
    differentially private training never does: nobody has its noise.
    """
    if config.dp_epsilon:
        return False
    return threads == 1 if device == "cpu" else config.deterministic and device == "cuda"


@cache
def code_digest() -> str:
    """The SHA-256 of the canonical JSON list of ``{"name", "sha256"}`` of this package's source files.

    It is taken once: code that is changed on the disk while a process runs is not what that process executes.
    """
    folder = Path(__file__).parents[1]
    files = {f"training/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*.py")}
    return sha256_hex(
        canonical_json([{"name": name, "sha256": sha256_hex(files[name].read_bytes())} for name in sorted(files)])
    )


def versions(config: TrainConfig) -> dict[str, str]:
    """The releases of Python, of prov and of the libraries that decide what a training by these settings computes."""
    names = [*LIBRARIES, *(name for name, used in _by_setting(config).items() if used)]
    return {"python": platform.python_version(), "prov": version("prov")} | {name: version(name) for name in names}


def _by_setting(config: TrainConfig) -> dict[str, bool]:
    return {
        "bitsandbytes": config.quantise != "none" or config.optimiser == "adamw-8bit",
        "opacus": config.dp_epsilon > 0,
        "prodigyopt": config.optimiser == "prodigy",
    }


def version(distribution: str) -> str:
    """The release of an installed distribution, or ``unknown``."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def processor() -> str:
    """The processor's model name, as the system gives it; empty where it gives none."""
    return _cpu_information("model name") or platform.processor()


def _extensions() -> str:
    flags = (_cpu_information("flags") or _cpu_information("Features")).split()
    return " ".join(sorted(flag for flag in flags if _EXTENSIONS.fullmatch(flag)))


def _cpu_information(key: str) -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return ""


def _driver() -> str:
    """The kernel driver's release; the file has it as the first number with two dots."""
    found = re.search(r"\d+\.\d+(\.\d+)*", _DRIVER.read_text(errors="replace")) if _DRIVER.exists() else None
    return found.group() if found else "unknown"
