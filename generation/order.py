"""The one place that orders: licence, screen prompt, sample, watermark, screen image, sign, record, write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.errors import GenerationError
from generation.latent_mark import marked_noise
from generation.licence import require_licence, require_quota
from generation.request import GenerationRequest
from generation.sampling import Sampling, load_pipeline, sample, usual_guidance
from generation.screening import PromptKey, require_calibrated, screen_prompts
from generation.serials import Serials
from generation.subject import Subject, open_subject
from provenance.canonical import Json
from provenance.home import Home
from provenance.identity import Issuer, load_issuer
from provenance.issuing import Making, issue_image
from provenance.journal import Journal
from provenance.latent_entry import latent_entry
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import account_address, load_account
from provenance.placement import watermark_entry
from provenance.policy_signature import verify_policy
from provenance.record import ImageRecord, Origin
from provenance.trust import TrustStore
from safety.content import open_content_filter, screen_all_or_refuse
from safety.decision import ERROR_RULE, Decision
from safety.log import BlockedLog
from safety.policy import Policy, open_policy
from safety.watermark import embed_verified

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    """One picture that was drawn and never written: which prompt of the request, why, and what to do next."""

    index: int
    reason: str
    fix: str

    def to_json(self) -> Json:
        """What a program wants to know of it."""
        return {"index": self.index, "reason": self.reason, "fix": self.fix}

    @classmethod
    def by(cls, decision: Decision, index: int) -> Blocked:
        """What a decision that blocks says to whoever asked."""
        failed = decision.rule == ERROR_RULE
        fix = "check the filter: prov policy check --image FILE" if failed else "ask for something else"
        return cls(index, decision.reason, fix)


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

    Refuses before anything is drawn when the account holds no valid licence (LicenceRefused), when the policy blocks
    any prompt (PromptBlocked), or when the log could not hold what is blocked. A picture that the policy blocks is
    counted and logged, and never written. Raises only ProvenanceError and SafetyError; pictures already written stay
    recorded.
    """
    reader = open_reader(home)
    address = account_address(home, account)
    subject = open_subject(request, home, reader)
    require_licence(reader, subject, address)
    require_quota(reader, home, subject, address, len(request.prompts))

    policy = _open_policy(request, home, subject)
    key, log = PromptKey.of_home(home), BlockedLog(home.path / "safety.log")
    log.require_writable()
    prompt_decisions = screen_prompts(request.prompts, policy, key, log, subject.base.id)
    content_filter = open_content_filter(policy, subject.base.id)
    require_calibrated(policy, content_filter.model_digest)

    issuer = load_issuer(home, passphrase)
    subject = subject.unsealed(home, reader, account, passphrase)
    pipeline = load_pipeline(subject.base, subject.adapter)
    images: list[Issued] = []
    blocked: list[Blocked] = []
    with Journal.of_home(home) as journal:
        stream = _open_stream(home, reader, journal, account, address, subject.token, passphrase)
        origin = _origin(reader, stream, subject, issuer)
        with Serials(journal, stream) as serials:
            for batch in _drawn(pipeline, request, subject, serials, origin):
                # What is screened is what is delivered, mark included, so that anybody can screen it again. A filter
                # looks at copies: what it does to them is not delivered.
                decisions = screen_all_or_refuse(content_filter, [drawn.picture.copy() for drawn in batch])
                for drawn, decision in zip(batch, decisions, strict=True):
                    prompt = request.prompts[drawn.index]
                    if not decision.allowed:
                        log.append(decision, hmac=key.name(prompt))
                        blocked.append(Blocked.by(decision, drawn.index))
                        serials.put_back(drawn.serial)
                    else:
                        making = Making(
                            generator=GENERATOR,
                            prompt={"text": prompt} if request.clear_prompt else {"hmac": key.name(prompt)},
                            parameters=_parameters(request, subject, drawn.seed),
                            safety=(prompt_decisions[prompt].to_json(), decision.to_json()),
                            watermark=drawn.watermark,
                        )
                        path = out / f"prov-{stream}-{drawn.serial}.png"
                        with _written(path):
                            record = issue_image(
                                drawn.picture,
                                path,
                                origin=origin,
                                serial=drawn.serial,
                                making=making,
                                issuer=issuer,
                                journal=journal,
                            )
                        images.append(Issued(path, record))
                    if progress:
                        progress(drawn.index + 1, len(request.prompts))
    return Issue(tuple(images), tuple(blocked))


@dataclass(frozen=True)
class _Drawn:
    """One marked picture (H, W, 3) that nobody has screened, and what its record will say of the mark."""

    index: int
    seed: int
    serial: int
    picture: NDArray[np.uint8]
    watermark: Json


def _drawn(
    pipeline: Any, request: GenerationRequest, subject: Subject, serials: Serials, origin: Origin
) -> Iterator[list[_Drawn]]:
    how = Sampling(request.steps, _guidance(request, subject))
    first = request.first_seed()
    for start in range(0, len(request.prompts), BATCH):
        prompts = request.prompts[start : start + BATCH]
        seeds = [first + start + i for i in range(len(prompts))]
        numbers = serials.take(len(prompts))
        payloads = [origin.payload(number) for number in numbers]
        noise = None if request.plain_noise else marked_noise(pipeline, payloads, seeds)
        latents = None if noise is None else noise.latents
        pictures = sample(pipeline, prompts, seeds, how, subject.base.output_scale, latents)
        batch = []
        for i, (picture, payload) in enumerate(zip(pictures, payloads, strict=True)):
            marked, detection = embed_verified(picture, payload)
            nonce = None if noise is None else noise.nonces[i]
            latent = {} if nonce is None else {"latent": latent_entry(nonce)}
            batch.append(_Drawn(start + i, seeds[i], numbers[i], marked, {**watermark_entry(detection), **latent}))
        yield batch


def _open_policy(request: GenerationRequest, home: Home, subject: Subject) -> Policy:
    """The policy of a request: a file, or the folder of a signed one, which counts if this home trusts who signed."""
    if request.policy is not None and request.policy.is_dir():
        return verify_policy(request.policy, TrustStore.of_home(home)).policy
    return open_policy(request.policy, subject.base.id)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GenerationError(
            f"{path} cannot be written",
            found=str(error),
            fix="make room, or choose another --out; its record stays, without a picture",
        ) from error


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
