"""From a command's options to a finished evaluation: opening, the report's folder, and who signs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import emit, note, passphrase

if TYPE_CHECKING:
    from generation.audit.model import AuditedModel
    from generation.evaluation.drawing import Gallery
    from generation.evaluation.evaluation import Evaluated
    from provenance.home import Home
    from provenance.identity import Issuer
    from provenance.trust import TrustStore


@dataclass(frozen=True)
class EvaluationSession:
    """One evaluation of one model: where it goes, and who signs it, if anybody."""

    home: Home
    trust: TrustStore
    model: AuditedModel
    out: Path
    release: Path | None
    issuer: Issuer | None
    sign: bool
    attach: bool

    @classmethod
    def open(
        cls,
        model: str,
        base: str | None,
        trust: list[Path] | None,
        account: str | None,
        out: Path | None,
        *,
        resume: bool,
        sign: bool,
        attach: bool,
    ) -> EvaluationSession:
        """Opens the adapter and refuses at once what could not be finished."""
        from generation.audit.model import open_model
        from generation.errors import GenerationError
        from provenance.adapter import STATEMENT, verify_adapter
        from provenance.byproducts import require_unpublished
        from provenance.errors import UsageError
        from provenance.home import Home
        from provenance.identity import load_issuer
        from provenance.trust import home_and_files

        home, believed = Home.open(), home_and_files(trust or [])
        opened = open_model(model, home, believed, base=base, account=account, passphrase=passphrase())
        if opened.adapter is None:
            raise GenerationError(
                "only an adapter can be evaluated, against its base",
                expected="the folder that `prov train` made, or a token number",
                found=f"the base {opened.base.id}",
            )
        release = Path(model) if (Path(model) / STATEMENT).exists() else None
        if attach and release is None:
            raise UsageError(
                "only the folder of an adapter release can be given an evaluation",
                expected="the folder that `prov train` made",
                found=model,
                fix="leave --attach out; --sign signs a statement of its own",
            )
        if attach and release is not None:
            require_unpublished(verify_adapter(release, believed), home)
        issuer = load_issuer(home, passphrase()) if sign or attach else None
        place = out or Path(f"evaluation-{re.sub(r'[^A-Za-z0-9._-]+', '-', opened.name).strip('-.')}")
        session = cls(home, believed, opened, place, release, issuer, sign, attach)
        session._require_room(resume=resume)
        return session

    @property
    def work(self) -> Path:
        """Where a stopped evaluation finds what it had measured."""
        return self.out.with_name(f"{self.out.name}.work")

    def note_privacy(self, reference: str) -> None:
        """Says what figures against the dataset ``reference`` (a digest) do to a promise of differential privacy.

        Of an adapter that is only known as a token nothing is said: its statement is not read here.
        """
        from provenance.adapter import verify_adapter
        from provenance.byproducts import byproducts
        from provenance.card_sections import PRIVACY

        if self.release is None or reference != self.model.dataset:
            return
        if byproducts(verify_adapter(self.release, self.trust).predicate, PRIVACY):
            note(
                "note: this adapter was trained privately, and figures against its own pictures are not part of that:"
                " whoever sees them learns of the pictures beyond its epsilon. Compare with another --dataset to hand"
                " figures on"
            )

    def _require_room(self, *, resume: bool) -> None:
        from provenance.errors import UsageError
        from provenance.evaluation import ENVELOPE

        if self.out.exists():
            raise UsageError(
                f"{self.out} is already there", expected="a new folder", fix="give another --out, or move it"
            )
        if self.work.exists() and not resume:
            raise UsageError(
                f"an evaluation was stopped here, and {self.work} holds what it had drawn",
                fix="add --resume to go on, or delete that folder",
            )
        if self.sign and self.release is not None and (self.release / ENVELOPE).exists():
            raise UsageError(
                f"{self.release} has a signed evaluation already",
                found=ENVELOPE,
                fix="move it away to put another in its place, or leave out --sign",
            )

    def gallery(
        self,
        features: str | None,
        clip: str | None,
        tag: str | None,
        policy: Path | None,
        steps: int,
        guidance: float | None,
    ) -> Gallery:
        """What draws and looks; raises UsageError, FilterError or GenerationError."""
        from generation.audit.drawing import Studio
        from generation.evaluation.drawing import Gallery
        from generation.evaluation.features import clip_features, open_features
        from generation.loading import drawing_device
        from generation.sampling import Sampling, usual_guidance
        from provenance.base import STARTER
        from provenance.errors import UsageError
        from safety.clip_model import open_clip_model
        from safety.policy import open_policy

        base = self.model.base
        if clip is None and features is not None and features.startswith("clip:"):
            clip = features.removeprefix("clip:")
        if clip is None and base.id != STARTER:
            raise UsageError(
                "the embedded CLIP model knows the starter world alone",
                expected="a CLIP model that knows what this base draws",
                fix="give --clip, for example --clip ViT-L-14-336 --clip-tag openai",
            )
        looking, device = clip or STARTER, drawing_device()
        model = open_clip_model(looking, tag, device)
        own = STARTER if looking == STARTER else f"clip:{looking}" + (f" {tag}" if tag else "")
        named = features in (None, looking, f"clip:{looking}")
        extractor = clip_features(own, model) if named else open_features(str(features), device)
        how = Sampling(steps, usual_guidance(base) if guidance is None else guidance)
        work = self.work / "drawn"
        return Gallery(Studio(self.home, open_policy(policy, base.id), model, base.id, how, work), extractor, work)

    def finish(self, made: Evaluated, lines: Sequence[str], *, as_json: bool) -> None:
        """Writes the report, signs it where that was asked for, and prints what was found."""
        from provenance.byproducts import add_byproduct
        from provenance.canonical import sha256_hex
        from provenance.evaluation import REPORT, evaluation_byproduct, sign_evaluation
        from provenance.files import write_file

        claim, digest = made.evaluation.value, sha256_hex(made.report)
        statement = sign_evaluation(made.report, self.issuer) if self.sign and self.issuer is not None else {}
        made.write(self.out, statement)
        shutil.rmtree(self.work, ignore_errors=True)
        text = [*lines, f"report    {self.out / REPORT}  sha256 {digest}"]
        if statement and self.release is not None:
            for name, data in statement.items():
                write_file(self.release / name, data)
            text.append(f"signed    beside {self.release}; `prov model publish` carries it")
        if self.attach and self.release is not None and self.issuer is not None:
            byproduct = evaluation_byproduct(made.evaluation, made.report)
            told = add_byproduct(
                self.release, byproduct, weights=made.evaluation.weights, issuer=self.issuer, home=self.home
            )
            text.append(f"attached  to {self.release}, whose statement is now {told.digest}")
        emit({**claim, "report": digest, "out": str(self.out)}, "\n".join(text), as_json=as_json)
        for warning in made.evaluation.warnings:
            note(f"note: {warning}")
