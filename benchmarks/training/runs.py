"""Both trainers as processes: how many pictures a second each takes, once it is running, and its peak memory.

The other trainer is the text-to-image LoRA example of diffusers, run from a checkout that is given by path.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from benchmarks.training.plan import Asked, Plan, Timing
from provenance.errors import UsageError

EXAMPLE = Path("examples/text_to_image/train_text_to_image_lora.py")
# Steps before this one also pay for what is set up once; both are counted from its end on.
FIRST_COUNTED = 5
LONGEST = 4 * 3600
_STEP = re.compile(rb"Steps:[^\r\n]*? (\d+)/(\d+) \[")


def example_in(checkout: Path) -> Path:
    """The example's script in a checkout of diffusers; raises UsageError when it is not there."""
    script = checkout / EXAMPLE
    if not script.is_file():
        raise UsageError(
            f"{checkout} is not a checkout of diffusers",
            expected=str(EXAMPLE),
            fix="git clone https://github.com/huggingface/diffusers, and give that folder",
        )
    return script


def run_ours(plan: Plan, out: Path, asked: Asked) -> Timing:
    """One training of ours."""
    out.mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.training.ours", json.dumps(plan.to_json()), str(out)]
    peak, seconds = _run(command, out, asked)
    made = json.loads((out / "timing.json").read_text())
    return Timing(
        _rate([(i + 1, moment) for i, moment in enumerate(made["moments"])], plan.batch_size),
        seconds,
        peak,
        made["device_peak"],
        out / "release" / "adapter" / "adapter.safetensors",
    )


def run_example(plan: Plan, out: Path, asked: Asked, script: Path) -> Timing:
    """One training of the example's; steps are timed from its progress bar."""
    out.mkdir(parents=True)
    precision = {"fp32": "no"}.get(plan.precision, plan.precision)
    options = {
        "pretrained_model_name_or_path": plan.base,
        "train_data_dir": plan.pictures,
        "output_dir": out / "adapter",
        "resolution": plan.side,
        "train_batch_size": plan.batch_size,
        "max_train_steps": plan.steps,
        "checkpointing_steps": plan.steps + 1,
        "rank": plan.rank,
        "learning_rate": plan.learning_rate,
        "lr_scheduler": "cosine",
        "lr_warmup_steps": plan.warmup_steps,
        "mixed_precision": precision,
        "seed": plan.seed,
        "cache_dir": out / "cache",
    }
    command = [sys.executable, str(script), "--center_crop"]
    command += [f"--{name}={value}" for name, value in options.items()]
    steps: list[tuple[int, float]] = []
    peak, seconds = _run(command, out, asked, steps)
    adapter = out / "adapter" / "pytorch_lora_weights.safetensors"
    return Timing(_rate(steps, plan.batch_size), seconds, peak, None, adapter)


def _run(
    command: list[str], out: Path, asked: Asked, steps: list[tuple[int, float]] | None = None
) -> tuple[int, float]:
    """Runs a training to its end; gives its peak resident memory in bytes, and seconds."""
    environment = os.environ | {
        "OMP_NUM_THREADS": str(asked.threads),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(out / "hub"),
        "PYTHONUNBUFFERED": "1",
        "ACCELERATE_USE_CPU": "true" if asked.device == "cpu" else "false",
    }
    if asked.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    began = time.monotonic()
    with (out / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.PIPE)
        guard = threading.Timer(LONGEST, process.kill)
        guard.start()
        assert process.stderr is not None
        while chunk := os.read(process.stderr.fileno(), 1 << 16):
            log.write(chunk)
            for found in _STEP.finditer(chunk) if steps is not None else ():
                done, total = int(found[1]), int(found[2])
                if steps is not None and total == asked.steps and done > (steps[-1][0] if steps else 0):
                    steps.append((done, time.monotonic()))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        guard.cancel()
    if process.returncode:
        raise UsageError(
            f"the training ended with {process.returncode}",
            found=(out / "log.txt").read_text()[-2000:],
            fix="see above",
        )
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak, time.monotonic() - began


def _rate(steps: list[tuple[int, float]], batch_size: int) -> float:
    counted = [step for step in steps if step[0] >= FIRST_COUNTED]
    if len(counted) < 2:
        raise UsageError("too few steps to time", expected=f"more than {FIRST_COUNTED + 1}", fix="ask for more --steps")
    (first, began), (last, ended) = counted[0], counted[-1]
    return (last - first) * batch_size / (ended - began)
