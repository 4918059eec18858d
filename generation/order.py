"""The one place that orders: licence, screen prompt, sample, watermark, screen image, sign, record, write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.errors import GenerationError
from generation.issue import Blocked, Issue, Issued, picture_path
from generation.latent_mark import marked_noise
from generation.licence import require_licence, require_quota
from generation.loading import drawing_device, load_pipeline
from generation.making import Teller
from generation.request import GenerationRequest
from generation.run_state import RunState, request_digest
from generation.sampling import Sampling, sample, usual_guidance
from generation.schedulers import SCHEDULERS, usual_scheduler
from generation.screening import PromptKey, require_calibrated, screen_prompts
from generation.serials import Serials
from generation.stream import open_stream, origin_of
from generation.subject import Subject, open_subject
from generation.wanted import Ask, batches
from provenance.canonical import Json
from provenance.home import Home
from provenance.identity import Issuer, load_issuer
from provenance.issuing import issue_image
from provenance.journal import Journal
from provenance.latent_entry import latent_entry
from provenance.ledger import open_reader
from provenance.ledger.accounts import account_address
from provenance.placement import watermark_entry
from provenance.policy_signature import verify_policy
from provenance.record import Origin
from provenance.trust import TrustStore
from safety.content import open_content_filter, screen_all_or_refuse
from safety.decision import Decision
from safety.log import BlockedLog
from safety.policy import Policy, open_policy
from safety.watermark import embed_verified

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Blocked", "Issue", "Issued", "generate"]

BATCH = 4

Progress = Callable[[int, int], None]


def generate(
    request: GenerationRequest,
    *,
    home: Home,
    account: str | None = None,
    out: Path = Path("images"),
    passphrase: str | None = None,
    progress: Progress | None = None,
    resumable: bool = False,
    resume: bool = False,
) -> Issue:
    """Draws every prompt of a request and writes each picture that passes, after its record is stored.

    Refuses before anything is drawn when the account holds no valid licence (LicenceRefused), when the policy blocks
    any prompt (PromptBlocked), or when the log could not hold what is blocked. A picture that the policy blocks is
    counted and logged, and never written. Raises only ProvenanceError and SafetyError; pictures already written stay
    recorded. A ``resumable`` run keeps its state beside the pictures; with ``resume`` it goes on from there.
    """
    reader = open_reader(home)
    address = account_address(home, account)
    subject = open_subject(request, home, reader)
    require_licence(reader, subject, address)
    request = replace(request, scheduler=request.scheduler or usual_scheduler(subject.base.family))
    policy = _open_policy(request, home, subject)
    key, log = PromptKey.of_home(home), BlockedLog(home.path / "safety.log")
    who = {"account": address, "chain": reader.identity.chain_id, "contract": reader.identity.contract}
    digest = request_digest(request, subject, policy.digest, who, key)
    with RunState(out if resumable else None, digest, len(request.prompts)) as run:
        images = run.settle(resume, run.recorded(home, out))
        first_seed = request.first_seed() if run.first_seed is None else run.first_seed
        asks = request.asks(_guidance(request, subject), first_seed)
        left = [ask for ask in asks if ask.index not in images and ask.index not in run.blocked]
        if not left:
            return _issue(images, run)
        require_quota(reader, home, subject, address, len(left))
        log.require_writable()
        negatives = [ask.negative for ask in left if ask.negative is not None]
        decisions = screen_prompts((ask.prompt for ask in left), policy, key, log, subject.base.id, negatives)
        content_filter = open_content_filter(policy, subject.base.id, drawing_device())
        require_calibrated(policy, content_filter.model_digest)

        issuer = load_issuer(home, passphrase)
        subject = subject.unsealed(home, reader, account, passphrase)
        pipeline = load_pipeline(subject.base, subject.adapter, request.scheduler, request.adapter_scale)
        teller = Teller(request, subject, key, decisions)
        run.begin(first_seed)
        with Journal.of_home(home) as journal:
            stream = open_stream(home, journal, account, address, subject.token, passphrase)
            writer = _Writer(out, origin_of(reader, stream, subject, issuer), teller, issuer, journal)
            with Serials(journal, stream) as serials:
                for batch in _drawn(pipeline, left, request, subject, serials, writer.origin):
                    # What is screened is what is delivered, mark included, so that anybody can screen it again. A
                    # filter looks at copies: what it does to them is not delivered.
                    screened = screen_all_or_refuse(content_filter, [drawn.picture.copy() for drawn in batch])
                    for drawn, decision in zip(batch, screened, strict=True):
                        index = drawn.ask.index
                        if decision.allowed:
                            run.drawing(index, stream, drawn.serial)
                            images[index] = writer.write(drawn, decision)
                        else:
                            log.append(decision, hmac=key.name(drawn.ask.prompt))
                            run.block(Blocked.by(decision, index))
                            serials.put_back(drawn.serial)
                        if progress:
                            progress(index + 1, len(request.prompts))
        return _issue(images, run)


def _issue(images: dict[int, Issued], run: RunState) -> Issue:
    written = [images[index] for index in sorted(images) if images[index].path.is_file()]
    missing = tuple(images[index].path for index in sorted(images) if not images[index].path.is_file())
    return Issue(tuple(written), tuple(run.blocked[index] for index in sorted(run.blocked)), missing)


@dataclass(frozen=True)
class _Drawn:
    """One marked picture (H, W, 3) that nobody has screened, and what its record will say of the mark."""

    ask: Ask
    serial: int
    picture: NDArray[np.uint8]
    watermark: Json


@dataclass(frozen=True)
class _Writer:
    """Turns pictures that were screened into files with a history."""

    out: Path
    origin: Origin
    teller: Teller
    issuer: Issuer
    journal: Journal

    def write(self, drawn: _Drawn, decision: Decision) -> Issued:
        path = picture_path(self.out, self.origin.stream, drawn.serial)
        try:
            record = issue_image(
                drawn.picture,
                path,
                origin=self.origin,
                serial=drawn.serial,
                making=self.teller.making(drawn.ask, decision, drawn.watermark),
                issuer=self.issuer,
                journal=self.journal,
            )
        except OSError as error:
            raise GenerationError(
                f"{path} cannot be written",
                found=str(error),
                fix="make room, or choose another --out; its record stays, without a picture",
            ) from error
        return Issued(path, record)


def _drawn(
    pipeline: Any,
    asks: Iterable[Ask],
    request: GenerationRequest,
    subject: Subject,
    serials: Serials,
    origin: Origin,
) -> Iterator[list[_Drawn]]:
    # A sampler that draws fresh noise at every step leaves no trace of what it began with: nothing is put there.
    plain = request.plain_noise or SCHEDULERS[request.scheduler or ""].stochastic
    for batch in batches(asks, BATCH):
        prompts, seeds = [ask.prompt for ask in batch], [ask.seed for ask in batch]
        negatives = [ask.negative for ask in batch if ask.negative is not None] or None
        how = Sampling(batch[0].steps, batch[0].guidance)
        numbers = serials.take(len(batch))
        payloads = [origin.payload(number) for number in numbers]
        noise = None if plain else marked_noise(pipeline, payloads, seeds)
        latents = None if noise is None else noise.latents
        pictures = sample(pipeline, prompts, seeds, how, subject.base.output_scale, latents, negatives)
        marked = []
        for i, (picture, payload) in enumerate(zip(pictures, payloads, strict=True)):
            delivered, detection = embed_verified(picture, payload)
            latent = {} if noise is None else {"latent": latent_entry(noise.nonces[i])}
            marked.append(_Drawn(batch[i], numbers[i], delivered, {**watermark_entry(detection), **latent}))
        yield marked


def _open_policy(request: GenerationRequest, home: Home, subject: Subject) -> Policy:
    """The policy of a request: a file, or the folder of a signed one, which counts if this home trusts who signed."""
    if request.policy is not None and request.policy.is_dir():
        return verify_policy(request.policy, TrustStore.of_home(home)).policy
    return open_policy(request.policy, subject.base.id)


def _guidance(request: GenerationRequest, subject: Subject) -> float:
    return request.guidance if request.guidance is not None else usual_guidance(subject.base)
