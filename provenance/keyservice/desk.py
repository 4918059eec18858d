"""The desk of the key service: who gets a key, whatever carries the question."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from provenance.canonical import parse_json
from provenance.errors import FormatError, KeyRefused, LedgerLookupError, LedgerUnavailable, SealRefused, SignatureError
from provenance.home import Home
from provenance.keyservice.challenge import MAX_NUMBER, Challenge
from provenance.keyservice.limits import RateLimit, peer_name
from provenance.keyservice.log import KeyEvent, ReleaseLog
from provenance.keyservice.pending import PendingChallenges
from provenance.keyservice.refusal import Refusal
from provenance.ledger.protocol import LedgerIdentity, LedgerReader
from provenance.sealing.handover import KeyHolder, licensed, wrap_for
from provenance.sealing.wrapping import WrappedKey

MAX_BODY = 8192

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_TOKEN = re.compile(r"[1-9][0-9]{0,15}")


@dataclass
class KeyDesk:
    """Answers for one account's adapters on one ledger; safe between threads.

    ``open_reader`` opens the ledger anew for each question; ``clock`` gives seconds since 1970. Both limits are token
    buckets: peers count on every request, accounts only once their signature was found right, so that nobody can lock
    out another.
    """

    home: Home
    identity: LedgerIdentity
    holder: KeyHolder
    open_reader: Callable[[], LedgerReader]
    log: ReleaseLog
    clock: Callable[[], float] = time.time
    peers: RateLimit = field(default_factory=lambda: RateLimit(burst=20, per_minute=30))
    accounts: RateLimit = field(default_factory=lambda: RateLimit(burst=5, per_minute=5))
    pending: PendingChallenges = field(default_factory=PendingChallenges)

    def challenge(self, account: str, token: str, peer: str) -> Challenge:
        """A challenge for an account that wants a token's key; raises Refusal. Tells nothing about either."""
        self._limit(self.peers, peer_name(peer), KeyEvent(None, peer))
        account = account.lower()
        if not _ADDRESS.fullmatch(account) or not _TOKEN.fullmatch(token) or int(token) > MAX_NUMBER:
            raise Refusal("malformed-request", "this names no account and token", expected="?account=0x…&token=NUMBER")
        issued = Challenge.issue(self.identity, account, int(token), int(self.clock()))
        self.pending.add(issued)
        return issued

    def release(self, body: bytes, peer: str) -> WrappedKey:
        """The key that an answered challenge asks for, wrapped to the account's public key; raises Refusal.

        Every outcome is in the log before it leaves; of a run of rate-limit refusals, the first.
        """
        event = KeyEvent(None, peer)
        self._limit(self.peers, peer_name(peer), event)
        try:
            challenge, signature = _parse(body)
            event = replace(event, account=challenge.account, token=challenge.token, nonce=challenge.nonce)
            wrapped, block = self._release(challenge, signature, event)
        except Refusal as refusal:
            if refusal.kind != "rate-limited":
                self.log.append(replace(event, reason=refusal.kind))
            raise
        self.log.append(replace(event, key_id=wrapped.key_id, block=block))
        return wrapped

    def _release(self, challenge: Challenge, signature: str, event: KeyEvent) -> tuple[WrappedKey, int]:
        self.pending.take(challenge, int(self.clock()))
        try:
            public_key = challenge.signer(signature)
        except SignatureError as error:
            raise Refusal.of("signature-invalid", error) from error
        self._limit(self.accounts, challenge.account, event)
        try:
            reader = self.open_reader()
            try:
                return self._wrap(reader, challenge, public_key), reader.head().block
            finally:
                reader.close()
        except LedgerUnavailable as error:
            raise Refusal("ledger-unavailable", "the ledger cannot be asked now", wait=60) from error

    def _wrap(self, reader: LedgerReader, challenge: Challenge, public_key: bytes) -> WrappedKey:
        if reader.identity != self.identity:
            raise LedgerUnavailable("the ledger is another than when the service was started")
        try:
            token = reader.token(challenge.token)
        except LedgerLookupError as error:
            raise Refusal.of("token-unknown", error) from error
        if not licensed(reader, token.token, challenge.account):
            raise Refusal(
                "no-licence",
                f"{challenge.account} holds no licence for token {token.token} that is final",
                expected="a licence that has not ended, in a finalised block, for an adapter that is not withdrawn",
                fix=f"prov license buy {token.token}; if it was bought just now, wait until its block is final",
            )
        try:
            return wrap_for(self.home, reader, token, self.holder, public_key)
        except (KeyRefused, SealRefused, FormatError) as error:
            # What is wrong with the maker's own keys is the maker's to read, not the peer's.
            raise Refusal("key-not-kept", f"this service cannot give the key of token {token.token}") from error

    def _limit(self, limit: RateLimit, name: str, event: KeyEvent) -> None:
        taken = limit.take(name)
        if not taken.wait:
            return
        if not taken.repeated:
            self.log.append(replace(event, reason="rate-limited"))
        raise Refusal("rate-limited", "too many requests", fix=f"wait {taken.wait:.0f} s", wait=taken.wait)


def _parse(body: bytes) -> tuple[Challenge, str]:
    try:
        value = parse_json(body, "the request", limit=MAX_BODY)
        match value:
            case {"challenge": challenge, "signature": str(signature)} if len(value) == 2:
                return Challenge.parse(challenge), signature
    except FormatError as error:
        raise Refusal.of("malformed-request", error) from error
    raise Refusal("malformed-request", "the request is malformed", expected='{"challenge": {…}, "signature": "0x…"}')
