"""Every command explains itself, with an example that parses, and costs little to ask."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator

import click
import pytest
import typer

from cli.main import app

HEAVY = (
    "torch",
    "diffusers",
    "transformers",
    "peft",
    "open_clip",
    "web3",
    "eth",
    "eth_account",
    "ecies",
    "coincurve",
    "fastapi",
    "uvicorn",
    "pydantic",
    "c2pa",
    "cv2",
    "numpy",
)


def commands() -> Iterator[tuple[str, click.Command]]:
    def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        children = getattr(command, "commands", None)
        if children is None:
            yield name, command
            return
        for child_name, child in children.items():
            yield from walk(f"{name} {child_name}", child)

    yield from walk("prov", typer.main.get_command(app))


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_one_sentence_and_an_example(name: str) -> None:
    help_text = COMMANDS[name].help or ""
    first = help_text.strip().splitlines()[0]
    assert first.endswith("."), first
    assert re.search(rf"Example: {re.escape(name)}( |$)", help_text, re.MULTILINE), help_text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_parses(name: str) -> None:
    example = re.search(r"Example: (prov .*)", COMMANDS[name].help or "")
    assert example
    words = shlex.split(example.group(1))[len(name.split()) :]
    COMMANDS[name].make_context(name, words)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_json_on_request(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params), name


def test_help_imports_nothing_heavy() -> None:
    script = f"import sys, cli.main; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_help_runs() -> None:
    started = time.monotonic()
    result = subprocess.run([sys.executable, "-m", "cli.main", "--help"], capture_output=True, text=True, check=True)
    assert "verify" in result.stdout
    print(f"prov --help took {time.monotonic() - started:.2f} s")
