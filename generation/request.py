"""What is asked of the generator, checked before anything heavy is loaded."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from pathlib import Path

from provenance.errors import UsageError
from provenance.files import read_file

MAX_PROMPT_CHARACTERS = 4_000
MAX_PROMPTS = 1_000_000


@dataclass(frozen=True)
class GenerationRequest:
    """Prompts, the model that draws them and how; raises UsageError with every fault named.

    ``model`` is a token number as text, or the folder of an adapter release; without it the base draws alone.
    ``base`` is by default the one the adapter was trained on, or the starter model.
    ``seed`` is that of the first picture (0 to 2⁶³ − 1); the i-th picture of a request uses ``seed + i``.
    The initial noise also carries the picture's number, so the same seed under another serial draws another picture;
    with ``plain_noise`` it comes from the seed alone and carries nothing. ``policy`` is a policy file, or the folder
    that ``prov policy sign`` made.
    """

    prompts: tuple[str, ...]
    model: str | None = None
    base: str | None = None
    seed: int | None = None
    steps: int = 20
    guidance: float | None = None
    policy: Path | None = None
    clear_prompt: bool = False
    plain_noise: bool = False

    def __post_init__(self) -> None:
        faults = []
        if not 1 <= len(self.prompts) <= MAX_PROMPTS:
            faults.append(f"between 1 and {MAX_PROMPTS} prompts are needed, {len(self.prompts)} given")
        for number, prompt in enumerate(self.prompts, 1):
            if not prompt.strip():
                faults.append(f"prompt {number} is empty")
            elif not _is_unicode(prompt):
                faults.append(f"prompt {number} holds half a character, as broken UTF-8 leaves it")
            elif len(prompt) > MAX_PROMPT_CHARACTERS:
                faults.append(f"prompt {number} has {len(prompt)} characters, at most {MAX_PROMPT_CHARACTERS} are read")
        if self.seed is not None and not 0 <= self.seed < 2**63 - MAX_PROMPTS:
            faults.append(f"seed {self.seed} is not between 0 and 2^63")
        if not 1 <= self.steps <= 1000:
            faults.append(f"{self.steps} steps; 1 to 1000 are possible")
        if self.guidance is not None and not (math.isfinite(self.guidance) and 0 <= self.guidance <= 100):
            faults.append(f"guidance {self.guidance} is not between 0 and 100")
        if faults:
            raise UsageError("this cannot be generated:\n  " + "\n  ".join(faults[:20]), fix="correct every line above")

    def first_seed(self) -> int:
        """The seed given, or a fresh random one."""
        return self.seed if self.seed is not None else secrets.randbelow(2**32)


def _is_unicode(text: str) -> bool:
    # Lone surrogates are how Python carries bytes that are no text.
    return not any("\ud800" <= character <= "\udfff" for character in text)


def read_prompts(path: Path) -> list[str]:
    """Reads one prompt from each non-empty line of a UTF-8 file; raises FileRefused or UsageError."""
    try:
        text = read_file(path, limit=1 << 30).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text", found=str(error)) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise UsageError(f"{path} holds no prompt", expected="one prompt on each line")
    return lines
