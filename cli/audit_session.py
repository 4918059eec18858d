"""From a command's options to a finished audit: opening, the report's folder, and the attestation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import emit, note, passphrase

if TYPE_CHECKING:
    from generation.audit.drawing import Studio
    from generation.audit.model import AuditedModel
    from generation.audit.report import Audit
    from provenance.home import Home
    from provenance.identity import Issuer
    from provenance.trust import TrustStore


@dataclass(frozen=True)
class AuditSession:
    """One audit of one model: where its report goes, and the release and issuer when it is to be attached."""

    home: Home
    trust: TrustStore
    model: AuditedModel
    out: Path
    release: Path | None
    issuer: Issuer | None

    @classmethod
    def open(
        cls,
        model: str,
        base: str | None,
        trust: list[Path] | None,
        account: str | None,
        *,
        attach: bool,
        out: Path | None,
        kind: str,
    ) -> AuditSession:
        """Opens the model and refuses at once what could not be finished: a folder that is there, or an attachment."""
        from generation.audit.model import open_model
        from provenance.adapter import STATEMENT, verify_adapter
        from provenance.byproducts import require_unpublished
        from provenance.errors import UsageError
        from provenance.home import Home
        from provenance.identity import load_issuer
        from provenance.trust import home_and_files

        home = Home.open()
        believed = home_and_files(trust or [])
        opened = open_model(model, home, believed, base=base, account=account, passphrase=passphrase())
        place = out or Path(f"audit-{kind}-{re.sub(r'[^A-Za-z0-9._-]+', '-', opened.name).strip('-.')}")
        if place.exists():
            raise UsageError(f"{place} is already there", expected="a new folder", fix="give another --out, or move it")
        if not attach:
            return cls(home, believed, opened, place, None, None)
        release = Path(model)
        if not (release / STATEMENT).exists():
            raise UsageError(
                "only the folder of an adapter release can be given an audit",
                expected="the folder that `prov train` made",
                found=model,
                fix="leave --attach out, or audit that folder before it is published",
            )
        require_unpublished(verify_adapter(release, believed), home)
        return cls(home, believed, opened, place, release, load_issuer(home, passphrase()))

    @property
    def work(self) -> Path:
        """Where a stopped audit finds what it had measured."""
        return self.out.with_name(f"{self.out.name}.work")

    def studio(
        self, clip: str | None, tag: str | None, policy: Path | None, steps: int, guidance: float | None
    ) -> Studio:
        """The content filter and the CLIP model that look at what is drawn; raises UsageError, or FilterError."""
        from generation.audit.drawing import Studio
        from generation.sampling import Sampling, usual_guidance
        from provenance.base import STARTER
        from provenance.errors import UsageError
        from safety.clip_model import open_clip_model
        from safety.policy import open_policy

        base = self.model.base
        if clip is None and base.id != STARTER:
            raise UsageError(
                "the embedded CLIP model knows the starter world alone",
                expected="a CLIP model that knows what this base draws",
                fix="give --clip, for example --clip ViT-B-32 --clip-tag laion2b_s34b_b79k",
            )
        how = Sampling(steps, usual_guidance(base) if guidance is None else guidance)
        looking = open_clip_model(clip or STARTER, tag, _device())
        return Studio(self.home, open_policy(policy, base.id), looking, base.id, how, self.work)

    def finish(self, audit: Audit, lines: Sequence[str], *, as_json: bool) -> None:
        """Writes the report, adds it to the attestation if that was asked for, and prints both."""
        from provenance.byproducts import add_byproduct

        audit.write(self.out, self.work)
        text = [*lines, f"report    {self.out / 'report.json'}  sha256 {audit.digest}"]
        if self.release is not None and self.issuer is not None and self.model.weights is not None:
            made = add_byproduct(
                self.release,
                audit.byproduct(),
                weights=self.model.weights,
                issuer=self.issuer,
                home=self.home,
            )
            text.append(f"attached  to {self.release}, whose statement is now {made.digest}")
        emit({**audit.report, "digest": audit.digest, "out": str(self.out)}, "\n".join(text), as_json=as_json)
        note(f"look at the pictures in {self.out}")


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
