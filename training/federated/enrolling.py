"""Who takes part: the server looks at everyone who comes in, and waits until all places are taken by trusted ones."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from provenance.errors import ProvenanceError
from provenance.federated.contributions import require_own, verify_dataset_parts
from provenance.federated.statements import ENROLMENT_TYPE, Enrolment, Plan, Signed
from provenance.federated.told import require_promised
from provenance.manifest import DatasetManifest
from provenance.trust import TrustStore, VerifiedIssuer, verify_chain
from training.federated.errors import ContributionRefused, FederationError
from training.federated.server_link import MAX_CONNECTIONS, Door, Peer
from training.federated.wire import (
    PLAN,
    REFUSED,
    bytes_from,
    signed_from,
    signed_scalars,
    texts_from_bytes,
)
from training.lora import check_choices

_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Contributor:
    """One who takes part, and what it signed and sent to do so."""

    peer: Peer
    signed: Signed
    enrolment: Enrolment
    issuer: VerifiedIssuer
    dataset: DatasetManifest
    parts: dict[str, bytes]

    @property
    def items(self) -> int:
        """How many pictures it trains on: its weight in every mean."""
        return len(self.dataset.records)


@dataclass
class Gathering:
    """Waits for contributors; ``note`` is told who came, who was refused and why, and who left again."""

    door: Door
    plan: Plan
    signed_plan: Signed
    trust: TrustStore
    note: Callable[[str], None]
    _there: list[Contributor] = field(default_factory=list)
    _refused: list[str] = field(default_factory=list)

    def wait(self, seconds: float) -> tuple[Contributor, ...]:
        """All contributors, in the order of their datasets' digests; raises FederationError when the time is over."""
        deadline = time.monotonic() + seconds
        looking: dict[Future[Contributor], Any] = {}
        pool = ThreadPoolExecutor(MAX_CONNECTIONS)
        try:
            while len(self._there) < self.plan.contributors:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._too_few(seconds)
                try:
                    proxy = self.door.joined.get(timeout=min(_LOOK_SECONDS, left))
                    looking[pool.submit(self._enrol, proxy, left)] = proxy
                except queue.Empty:
                    pass
                for looked in [future for future in looking if future.done()]:
                    self._settle(looked, looking.pop(looked))
                self._drop_who_left()
            self.door.closed = True
            there = {each.peer.proxy.cid for each in self._there}
            for proxy in [proxy for cid, proxy in self.door.all().items() if cid not in there]:
                _send_away(proxy, "all places are taken")
            return tuple(sorted(self._there, key=lambda each: each.dataset.digest))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _enrol(self, proxy: Any, timeout: float) -> Contributor:
        stranger = Peer(proxy, f"connection {proxy.cid[:8]}")
        answer = stranger.ask(PLAN, timeout, **signed_scalars(self.signed_plan, PLAN))
        signed = signed_from(answer, "enrolment", "the enrolment")
        peer = Peer(proxy, f'"{_claimed_name(signed)}" ({stranger.name})')
        try:
            return self._checked(peer, signed, bytes_from(answer, "dataset", "the enrolment"))
        except ProvenanceError as error:
            raise ContributionRefused(
                f"{peer.name}: {error.what}", expected=error.expected, found=error.found
            ) from error

    def _checked(self, peer: Peer, signed: Signed, parts: bytes) -> Contributor:
        statement, issuer = signed.verify(ENROLMENT_TYPE, self.trust, "the enrolment")
        issuer.require_trusted("the enrolment")
        enrolment = Enrolment.of(statement, "the enrolment")
        files = texts_from_bytes(parts, "the dataset")
        dataset = verify_dataset_parts(files, self.trust, "the dataset")
        dataset.issuer.require_trusted("the dataset")
        require_own(dataset, issuer, "the enrolment")
        agreed = {
            "plan": self.signed_plan.digest,
            "base": self.plan.base,
            "config": self.plan.config_digest,
            "dataset": dataset.digest,
            "items": len(dataset.records),
        }
        differing = [name for name, value in agreed.items() if getattr(enrolment, name) != value]
        if differing:
            raise ContributionRefused(
                f"the enrolment is for another {' and '.join(differing)}",
                expected=", ".join(f"{name} {agreed[name]}" for name in differing),
                found=", ".join(f"{name} {getattr(enrolment, name)}" for name in differing),
            )
        require_promised(self.plan, enrolment, "the enrolment")
        check_choices(dataset)
        return Contributor(
            Peer(peer.proxy, f'"{issuer.name}" (dataset {dataset.digest[:16]}…)'),
            signed,
            enrolment,
            issuer,
            dataset,
            files,
        )

    def _settle(self, looked: Future[Contributor], proxy: Any) -> None:
        try:
            found = looked.result()
            self._require_new(found)
        except ProvenanceError as error:
            self._refused.append(error.what + (f" ({error.found})" if error.found else ""))
            self.note(f"refused: {self._refused[-1]}")
            _send_away(proxy, error.what)
            return
        self._there.append(found)
        self.note(f"{found.peer.name} takes part with {found.items} pictures")

    def _require_new(self, found: Contributor) -> None:
        """One place for each root and for each dataset: whoever had two would be in the mean twice."""
        for other in self._there:
            if other.issuer.root_digest == found.issuer.root_digest:
                raise ContributionRefused(f"{found.peer.name} takes part already", found=other.peer.name)
            if other.dataset.digest == found.dataset.digest:
                raise ContributionRefused(f"{found.peer.name} brings the dataset of {other.peer.name}")

    def _drop_who_left(self) -> None:
        connected = self.door.all()
        for gone in [each for each in self._there if each.peer.proxy.cid not in connected]:
            self._there.remove(gone)
            self.note(f"{gone.peer.name} left before all were there")

    def _too_few(self, seconds: float) -> FederationError:
        there = ", ".join(each.peer.name for each in self._there) or "nobody"
        return FederationError(
            f"{len(self._there)} of {self.plan.contributors} contributors came within {seconds:g} s",
            expected=f"{self.plan.contributors} trusted contributors",
            found=there + "".join(f"\n    - refused: {each}" for each in self._refused[:20]),
            fix="start again when all are ready, with the roots of all in --trust",
        )


def _send_away(proxy: Any, reason: str) -> None:
    # Not waited for: whoever is refused may take its time.
    farewell = ThreadPoolExecutor(1)
    farewell.submit(Peer(proxy, "refused").dismiss, REFUSED, reason=reason)
    farewell.shutdown(wait=False)


def _claimed_name(signed: Signed) -> str:
    """Who a signer says it is; its signature is not checked yet."""
    return verify_chain(signed.chain, TrustStore(), what="the enrolment").name
