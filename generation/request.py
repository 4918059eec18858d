"""What is asked of the generator, checked before anything heavy is loaded."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from generation.schedulers import scheduler_fault
from generation.wanted import MAX_PROMPTS, Ask, Wanted, number_faults, text_fault
from provenance.errors import UsageError
from provenance.files import read_file

USUAL_STRENGTH = 0.6


@dataclass(frozen=True)
class GenerationRequest:
    """Prompts, the model that draws them and how; raises UsageError with every fault named.

    ``model`` is a token number as text, or the folder of an adapter release; without it the base draws alone.
    ``base`` is by default the one the adapter was trained on, or the starter model.
    ``seed`` is that of the first picture (0 to 2⁶³ − 1); the i-th picture of a request uses ``seed + i``.
    The initial noise also carries the picture's number, so the same seed under another serial draws another picture;
    with ``plain_noise``, or a scheduler that draws fresh noise at every step, it comes from the seed alone and carries
    nothing. ``scheduler`` and ``guidance`` are by default the usual ones of the base. ``adapter_scale`` is the weight
    of the adapter, 1 as it was trained. ``negative`` says what pictures should not show. A ``Wanted`` among the
    prompts has some of this its own way. ``policy`` is a policy file, or the folder that ``prov policy sign`` made.
    ``image`` is a picture that every picture of the request is drawn from; ``strength`` says how much of it is drawn
    anew, above 0 to 1 (0.6, or all of it with a mask); ``mask``, a picture of the same size, says where: in white.
    With an ``image`` every prompt may be empty: a base of videos draws its frames from the picture alone.
    """

    prompts: tuple[str | Wanted, ...]
    model: str | None = None
    base: str | None = None
    seed: int | None = None
    steps: int = 20
    guidance: float | None = None
    policy: Path | None = None
    clear_prompt: bool = False
    plain_noise: bool = False
    negative: str | None = None
    scheduler: str | None = None
    adapter_scale: float = 1.0
    image: Path | None = None
    mask: Path | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        faults = []
        if not 1 <= len(self.prompts) <= MAX_PROMPTS:
            faults.append(f"between 1 and {MAX_PROMPTS} prompts are needed, {len(self.prompts)} given")
        if not self.wordless:
            for number, wanted in enumerate(self.wanted(), 1):
                faults += wanted.faults(f"prompt {number}")
        if self.negative is not None and (fault := text_fault(self.negative)):
            faults.append(f"the negative prompt {fault}")
        faults += number_faults(self.seed, self.steps, self.guidance)
        if not 0.01 <= abs(self.adapter_scale) <= 4:
            faults.append(f"adapter scale {self.adapter_scale:g}; 0.01 to 4 are possible, and as much below 0")
        elif self.adapter_scale != 1 and self.model is None:
            faults.append("an adapter scale without an adapter")
        most = max([self.steps, *(wanted.steps or 1 for wanted in self.wanted())])
        if self.scheduler is not None and (fault := scheduler_fault(self.scheduler, most)):
            faults.append(fault)
        faults += self._input_faults()
        if faults:
            more = [f"and {len(faults) - 20} more"] if len(faults) > 20 else []
            found = "this cannot be generated:\n  " + "\n  ".join(faults[:20] + more)
            raise UsageError(found, fix="correct every line above")

    def _input_faults(self) -> Iterator[str]:
        if self.image is None:
            if self.mask is not None or self.strength is not None:
                yield "a mask or a strength without an input picture"
            return
        if self.wordless:
            return
        if not 0 < self.redrawn <= 1:
            yield f"strength {self.redrawn:g}; above 0 to 1 are possible"
            return
        fewest = min([self.steps, *(wanted.steps for wanted in self.wanted() if wanted.steps is not None)])
        if int(fewest * self.redrawn) < 1:
            yield f"{fewest} steps at strength {self.redrawn:g} draw nothing; the two multiplied must be 1 or more"

    @property
    def wordless(self) -> bool:
        """Whether there is a picture and no words at all, as bases of videos need it."""
        return self.image is not None and not any(wanted.prompt for wanted in self.wanted())

    @property
    def redrawn(self) -> float:
        """The strength given, or else the usual one."""
        usual = USUAL_STRENGTH if self.mask is None else 1.0
        return usual if self.strength is None else self.strength

    def wanted(self) -> Iterator[Wanted]:
        """Every prompt with what it asks for itself."""
        return (prompt if isinstance(prompt, Wanted) else Wanted(prompt) for prompt in self.prompts)

    def first_seed(self) -> int:
        """The seed given, or a fresh random one."""
        return self.seed if self.seed is not None else secrets.randbelow(2**32)

    def asks(self, usual_guidance: float, first_seed: int) -> Iterator[Ask]:
        """Every picture with its settings; raises UsageError for a negative prompt that nothing would come of."""
        for index, wanted in enumerate(self.wanted()):
            guidance = next(g for g in (wanted.guidance, self.guidance, usual_guidance) if g is not None)
            negative = self.negative if wanted.negative is None else wanted.negative
            if negative is not None and guidance <= 1:
                raise UsageError(
                    "a negative prompt has no effect without guidance",
                    expected="guidance above 1",
                    found=f"guidance {guidance:g} for prompt {index + 1}",
                    fix="leave out the negative prompt, or give --guidance",
                )
            seed = first_seed + index if wanted.seed is None else wanted.seed
            yield Ask(index, wanted.prompt, negative, seed, wanted.steps or self.steps, guidance)


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
