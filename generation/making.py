"""What a record says of how a picture was made: its texts by keyed digest or in clear, its settings, its decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from generation.request import GenerationRequest
from generation.screening import PromptKey
from generation.source import Source
from generation.subject import Subject
from generation.wanted import Ask
from provenance.canonical import Json
from provenance.issuing import Making
from safety.decision import Decision

GENERATOR = "prov/0.1.0"


@dataclass(frozen=True)
class Teller:
    """Tells of the pictures of one request; ``decisions`` are those on its prompts and negative prompts, by text.

    ``source`` is the picture they are drawn from, and what was decided on it; ``frames`` how many make a video.
    """

    request: GenerationRequest
    subject: Subject
    key: PromptKey
    decisions: Mapping[str, Decision]
    source: tuple[Source, Decision] | None = None
    frames: int | None = None

    def making(self, ask: Ask, output: Decision, watermark: Json) -> Making:
        """How the picture of an ask was made, which the content filter allowed by ``output``."""
        return Making(
            generator=GENERATOR,
            prompt=self._named(ask.prompt),
            parameters=self._parameters(ask),
            safety=(*self._decided(ask), output.to_json()),
            watermark=watermark,
            ingredient=None if self.source is None else self.source[0].ingredient,
        )

    def _named(self, text: str) -> dict[str, str]:
        return {"text": text} if self.request.clear_prompt and text else {"hmac": self.key.name(text)}

    def _decided(self, ask: Ask) -> tuple[Json, ...]:
        # Where nothing was said, there was nothing to decide on.
        return () if self.request.wordless else (self.decisions[ask.prompt].to_json(),)

    def _parameters(self, ask: Ask) -> Json:
        settings: Json = {
            "base": self.subject.base.id,
            "scheduler": self.request.scheduler,
            "steps": ask.steps,
            "guidance": ask.guidance,
            "seed": ask.seed,
        }
        if self.subject.token:
            settings["adapter_scale"] = self.request.adapter_scale
        if ask.negative is not None:
            # Not in the record's `safety`: those decisions are on the prompt and on the picture.
            decision = self.decisions[ask.negative].to_json()
            settings["negative"] = {**self._named(ask.negative), "decision": decision}
        if self.source is not None:
            source, allowed = self.source
            if self.frames is not None:
                settings["frame"] = {"number": ask.index % self.frames, "of": self.frames}
            # As for a negative prompt: it is another picture that was decided on.
            settings["input"] = {
                "sha256": source.sha256,
                **({} if self.request.wordless else {"strength": self.request.redrawn}),
                **({} if source.mask_sha256 is None else {"mask": source.mask_sha256}),
                **({} if source.payload is None else {"payload": source.payload}),
                "decision": allowed.to_json(),
            }
        return settings
