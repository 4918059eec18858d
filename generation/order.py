"""The one place that orders: licence, screen prompt, sample, screen image, watermark, sign, record, write."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.errors import LicenceRefused, PromptBlocked
from generation.latent_mark import marked_noise
from generation.request import GenerationRequest
from generation.sampling import Sampling, load_pipeline, sample, usual_guidance
from generation.serials import Serials
from generation.subject import Subject, open_subject
from provenance.canonical import Json
from provenance.files import read_file, write_file
from provenance.home import Home
from provenance.identity import Issuer, load_issuer
from provenance.issuing import Making, issue_image
from provenance.journal import Journal
from provenance.latent_entry import latent_entry
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import account_address, load_account
from provenance.ledger.quantities import format_date, format_money
from provenance.placement import watermark_entry
from provenance.record import ImageRecord, Origin
from safety.content import open_content_filter, screen_or_refuse
from safety.log import BlockedLog
from safety.policy import Policy, open_policy
from safety.prompt import PromptFilter
from safety.watermark import embed_verified

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from provenance.ledger.licences import Licence
    from provenance.ledger.protocol import LedgerReader
    from safety.decision import Decision

GENERATOR = "prov/0.1.0"
BATCH = 4

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Issued:
    """One picture with a history: its file and its record."""

    path: Path
    record: ImageRecord

    def to_json(self) -> Json:
        """What a program wants to know of it."""
        return {
            "path": str(self.path),
            "stream": self.record.stream,
            "serial": self.record.serial,
            "record": self.record.id,
        }


@dataclass(frozen=True)
class Blocked:
    """One picture that was drawn and never written: which prompt of the request, and why."""

    index: int
    reason: str

    def to_json(self) -> Json:
        """What a program wants to know of it."""
        return {"index": self.index, "reason": self.reason}


@dataclass(frozen=True)
class Issue:
    """What one request gave."""

    images: tuple[Issued, ...]
    blocked: tuple[Blocked, ...]


def generate(
    request: GenerationRequest,
    *,
    home: Home,
    account: str | None = None,
    out: Path = Path("images"),
    passphrase: str | None = None,
    progress: Progress | None = None,
) -> Issue:
    """Draws every prompt of a request and writes each picture that passes, after its record is stored.

    Refuses before anything is drawn when the account holds no valid licence (LicenceRefused) or when the policy blocks
    any prompt (PromptBlocked). A picture that the policy blocks is counted and logged, and never written. Raises
    SamplingFailed, WatermarkError or any ProvenanceError of what it uses; pictures already written stay recorded.
    """
    reader = open_reader(home)
    address = account_address(home, account)
    subject = open_subject(request, home, reader)
    require_licence(reader, subject, address)
    require_quota(reader, home, subject, address, len(request.prompts))

    policy = open_policy(request.policy, subject.base.id)
    key, log = _prompt_key(home), BlockedLog(home.path / "safety.log")
    prompt_decisions = _screen_prompts(request.prompts, policy, key, log)
    content_filter = open_content_filter(policy, subject.base.id)

    issuer = load_issuer(home, passphrase)
    subject = subject.unsealed(home, reader, account, passphrase)
    pipeline = load_pipeline(subject.base, subject.adapter)
    images: list[Issued] = []
    blocked: list[Blocked] = []
    with Journal.of_home(home) as journal:
        stream = _open_stream(home, reader, journal, account, address, subject.token, passphrase)
        origin = _origin(reader, stream, subject, issuer)
        with Serials(journal, stream) as serials:
            for drawn in _drawn(pipeline, request, subject, serials, origin):
                prompt = request.prompts[drawn.index]
                decision = screen_or_refuse(content_filter, drawn.picture)
                if not decision.allowed:
                    log.append(decision, hmac=_digest(key, prompt))
                    blocked.append(Blocked(drawn.index, decision.reason))
                    serials.put_back(drawn.serial)
                else:
                    marked, detection = embed_verified(drawn.picture, origin.payload(drawn.serial))
                    latent = {} if drawn.nonce is None else {"latent": latent_entry(drawn.nonce)}
                    making = Making(
                        generator=GENERATOR,
                        prompt={"text": prompt} if request.clear_prompt else {"hmac": _digest(key, prompt)},
                        parameters=_parameters(request, subject, drawn.seed),
                        safety=(prompt_decisions[prompt].to_json(), decision.to_json()),
                        watermark={**watermark_entry(detection), **latent},
                    )
                    path = out / f"prov-{stream}-{drawn.serial}.png"
                    record = issue_image(
                        marked, path, origin=origin, serial=drawn.serial, making=making, issuer=issuer, journal=journal
                    )
                    images.append(Issued(path, record))
                if progress:
                    progress(drawn.index + 1, len(request.prompts))
    return Issue(tuple(images), tuple(blocked))


def require_licence(reader: LedgerReader, subject: Subject, address: str) -> None:
    """Raises LicenceRefused unless the ledger's last final block says that an account may use the adapter now."""
    if subject.token == 0:
        return
    token = reader.token(subject.token)
    if token.taken_down_at is not None:
        raise LicenceRefused(
            f"adapter {subject.token} is taken down",
            found=f"reason: sha256 {token.takedown_reason}",
            fix="wait until it is reinstated; `prov model show` follows it",
        )
    if token.revoked_at is not None:
        raise LicenceRefused(
            f"adapter {subject.token} was withdrawn by its maker, so pictures would verify as revoked",
            found=f"reason: {token.reason}",
        )
    if reader.has_licence(subject.token, address, finalised=True):
        return
    held, offer = reader.licence(subject.token, address), reader.offer(subject.token)
    raise LicenceRefused(
        f"{address} holds no valid licence for adapter {subject.token}",
        expected="a licence that has not expired, was not revoked and is not used up, in a final block",
        found=None if held is None else f"{held.left} images left" if held.left == 0 else _ended(held),
        fix=f"prov license buy {subject.token}"
        + (
            f" (price {format_money(offer.terms.price, offer.terms.currency)})"
            if offer
            else "; ask its owner for an offer"
        ),
    )


def _ended(held: Licence) -> str:
    ended = held.ended_at is not None and f"one that ended {format_date(held.ended_at)}"
    return ended or f"one that lasts until {format_date(held.expires)}"


def require_quota(reader: LedgerReader, home: Home, subject: Subject, address: str, wanted: int) -> None:
    """Raises LicenceRefused when a licence allows fewer images than those waiting for their anchor and those wanted."""
    held = reader.licence(subject.token, address) if subject.token else None
    if held is None or held.left is None or reader.token(subject.token).owner == address:
        return
    with Journal.of_home(home) as journal:
        stream = journal.stream_for(address, subject.token)
        waiting = 0 if stream is None else journal.waiting(stream)
    if waiting + wanted > held.left:
        raise LicenceRefused(
            f"the licence of {address} for adapter {subject.token} allows {held.quota} images",
            expected=f"at most {max(0, held.left - waiting)} more",
            found=f"{wanted} wanted, {held.usage} on record, {waiting} waiting for their anchor",
            fix=f"ask for fewer, or buy more: prov license buy {subject.token}",
        )


def _screen_prompts(prompts: Sequence[str], policy: Policy, key: bytes, log: BlockedLog) -> dict[str, Decision]:
    prompt_filter = PromptFilter(policy)
    decisions = {}
    for prompt in dict.fromkeys(prompts):
        decision = prompt_filter.screen(prompt)
        if not decision.allowed:
            log.append(decision, hmac=_digest(key, prompt))
            raise PromptBlocked(
                "the safety policy blocks this prompt", found=decision.reason, fix="ask for something else"
            )
        decisions[prompt] = decision
    return decisions


@dataclass(frozen=True)
class _Drawn:
    """One picture (H, W, 3) before it is screened; ``nonce`` is that of its marked noise, None for plain noise."""

    index: int
    seed: int
    serial: int
    nonce: int | None
    picture: NDArray[np.uint8]


def _drawn(
    pipeline: Any, request: GenerationRequest, subject: Subject, serials: Serials, origin: Origin
) -> Iterator[_Drawn]:
    how = Sampling(request.steps, _guidance(request, subject))
    first = request.first_seed()
    for start in range(0, len(request.prompts), BATCH):
        prompts = request.prompts[start : start + BATCH]
        seeds = [first + start + i for i in range(len(prompts))]
        numbers = serials.take(len(prompts))
        payloads = [origin.payload(number) for number in numbers]
        noise = None if request.plain_noise else marked_noise(pipeline, payloads, seeds)
        nonces = [None] * len(prompts) if noise is None else noise.nonces
        latents = None if noise is None else noise.latents
        pictures = sample(pipeline, prompts, seeds, how, subject.base.output_scale, latents)
        for offset, each in enumerate(zip(seeds, numbers, nonces, pictures, strict=True)):
            yield _Drawn(start + offset, *each)


def _guidance(request: GenerationRequest, subject: Subject) -> float:
    return request.guidance if request.guidance is not None else usual_guidance(subject.base)


def _parameters(request: GenerationRequest, subject: Subject, seed: int) -> Json:
    return {
        "base": subject.base.id,
        "scheduler": "dpmsolver++",
        "steps": request.steps,
        "guidance": _guidance(request, subject),
        "seed": seed,
    }


def _open_stream(
    home: Home, reader: Any, journal: Journal, account: str | None, address: str, token: int, passphrase: str | None
) -> int:
    stream = journal.stream_for(address, token)
    if stream is not None:
        return stream
    opened = open_ledger(home).open_stream(load_account(home, account, passphrase), token)
    journal.add_stream(opened)
    return opened.stream


def _origin(reader: Any, stream: int, subject: Subject, issuer: Issuer) -> Origin:
    return Origin(
        chain_id=reader.identity.chain_id,
        contract=reader.identity.contract,
        namespace=reader.namespace,
        stream=stream,
        token=subject.token,
        weights=subject.weights,
        dataset=subject.dataset,
        base=subject.base.digest,
        issuer=issuer.root_digest,
    )


def _prompt_key(home: Home) -> bytes:
    path = home.path / "prompt.key"
    if not path.exists():
        write_file(path, secrets.token_bytes(32), mode=0o600)
    return read_file(path, limit=32)


def _digest(key: bytes, prompt: str) -> str:
    return hmac.new(key, prompt.encode(), hashlib.sha256).hexdigest()
