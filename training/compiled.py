"""The denoiser compiled by torch.compile: slower to begin, faster after; its bits are not those of the plain one."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from training.config import TrainConfig
from training.errors import TrainingError

if TYPE_CHECKING:
    import torch

_COMPILERS = ("c++", "g++", "clang++")


def compile_denoiser(denoiser: torch.nn.Module, config: TrainConfig, device: str) -> None:
    """Compiles calls of the denoiser, once for each picture size; nothing when not configured.

    Raises TrainingError where no compiler can make the kernels: a C++ compiler for a CPU, Triton for a GPU.
    """
    if not config.compile:
        return
    _require_compiler(device)
    denoiser.compile(dynamic=False)


def uncompiled(config: TrainConfig) -> AbstractContextManager[Any]:
    """Inside, the denoiser runs as it is written: for a few pictures of another shape, compiling anew does not pay."""
    import torch

    return torch.compiler.set_stance("force_eager") if config.compile else nullcontext()


def _require_compiler(device: str) -> None:
    if device == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise _refusal("Triton", "install the package triton")
        return
    if _compiler() is None:
        raise _refusal(f"a C++ compiler ({', '.join(_COMPILERS)}, or the one that CXX names)", "install one")


def compiler_release(config: TrainConfig) -> dict[str, str]:
    """The C++ compiler, as it names itself: its kernels decide bits; nothing where nothing is compiled."""
    path = _compiler() if config.compile else None
    if path is None:
        return {}
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    return {"compiler": said.partition("\n")[0].strip()}


def _compiler() -> str | None:
    chosen = os.environ.get("CXX")
    return next((path for name in ((chosen,) if chosen else _COMPILERS) if (path := shutil.which(name))), None)


def _refusal(needed: str, fix: str) -> TrainingError:
    return TrainingError(
        "`compile = true` needs a compiler, which this machine does not have",
        expected=needed,
        fix=f"{fix}, or set `compile = false`",
    )
