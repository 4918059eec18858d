"""What the reader answers from logs: about what is final, about now, and about what is not there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest

from provenance.errors import LedgerLookupError
from provenance.home import Home
from provenance.ledger import open_reader
from provenance.ledger.accounts import KeystoreAccount, account_from_key
from provenance.ledger.embedded import EmbeddedLedger
from provenance.ledger.licences import NEVER, Terms
from provenance.ledger.protocol import Head, LedgerIdentity, Log, LogSource
from provenance.ledger.snapshot import take_snapshot
from provenance.ledger.view import LogView, namespace_of
from tests.provenance.ledger.conftest import CID

OTHER = account_from_key("other", b"\x11" * 32)


@dataclass(frozen=True)
class Lagging:
    """A ledger's logs, of which only those up to a block are final, as on a public chain."""

    source: LogSource
    final: Head

    @property
    def identity(self) -> LedgerIdentity:
        return self.source.identity

    def head(self) -> Head:
        return self.source.head()

    def finalised(self) -> Head:
        return self.final

    def logs(self, topics: Sequence[str | None]) -> Iterable[Log]:
        return self.source.logs(topics)

    def close(self) -> None:
        self.source.close()


@pytest.fixture
def token(ledger: EmbeddedLedger, maker: KeystoreAccount) -> int:
    adapter = {"weights": "01" * 32, "dataset": "da" * 32, "base": "ba" * 32, "terms": "00" * 32}
    return ledger.mint(maker, cid=CID, **adapter).token


def test_licence_counts_as_final_when_its_block_is(ledger: EmbeddedLedger, maker: KeystoreAccount, token: int) -> None:
    before = ledger.head()
    ledger.grant(maker, token, OTHER.address, expires=NEVER)
    granted = ledger.head()
    ledger.revoke(maker, token, OTHER.address, reason="terms broken")
    view = LogView(Lagging(ledger.source, before), clock=lambda: 0)
    assert not view.has_licence(token, OTHER.address, finalised=True)
    view = LogView(Lagging(ledger.source, granted), clock=lambda: 0)
    assert view.has_licence(token, OTHER.address, finalised=True)
    assert not view.has_licence(token, OTHER.address)
    view = LogView(Lagging(ledger.source, ledger.head()), clock=lambda: 0)
    assert not view.has_licence(token, OTHER.address, finalised=True)


def test_new_owner_is_owner_when_the_transfer_is_final(
    ledger: EmbeddedLedger, maker: KeystoreAccount, token: int
) -> None:
    before = ledger.head()
    ledger.transfer(maker, token, OTHER.address)
    view = LogView(Lagging(ledger.source, before), clock=lambda: 0)
    assert view.has_licence(token, maker.address, finalised=True)
    assert not view.has_licence(token, OTHER.address, finalised=True)
    assert view.has_licence(token, OTHER.address)


def test_last_final_block_does_not_keep_an_expired_licence_alive(
    ledger: EmbeddedLedger, maker: KeystoreAccount, token: int
) -> None:
    expires = ledger.now() + 1000
    ledger.grant(maker, token, OTHER.address, expires=expires)
    for clock, valid in ((0, True), (expires - 1, True), (expires, False)):
        view = LogView(Lagging(ledger.source, ledger.head()), clock=lambda clock=clock: clock)
        assert view.has_licence(token, OTHER.address) is valid
        assert view.has_licence(token, OTHER.address, finalised=True) is valid


def test_now_is_the_later_of_clock_and_chain(filled: EmbeddedLedger) -> None:
    head = filled.head()
    assert LogView(filled.source, clock=lambda: head.timestamp - 5).now() == head.timestamp
    assert LogView(filled.source, clock=lambda: head.timestamp + 5).now() == head.timestamp + 5


def test_namespace_is_one_byte_of_chain_and_contract() -> None:
    contract = "0x" + "AB" * 20
    assert namespace_of(1, contract) == namespace_of(1, contract.lower())
    names = {namespace_of(chain, contract) for chain in range(1000)}
    assert names <= set(range(256))
    assert len(names) > 200


def test_addresses_are_found_however_they_are_written(filled: EmbeddedLedger) -> None:
    upper = "0x" + OTHER.address[2:].upper()
    assert filled.licence(1, upper) == filled.licence(1, OTHER.address)
    assert filled.issuer_keys(upper) == filled.issuer_keys(OTHER.address) != ()
    assert filled.streams(upper) == filled.streams(OTHER.address) != ()
    assert filled.has_licence(2, upper)


def test_revoked_licence_tells_its_whole_story(filled: EmbeddedLedger) -> None:
    held = filled.licence(1, OTHER.address)
    assert held
    assert (held.offer, held.quota, held.used, held.anchored, held.commercial) == (1, 100, 23, 20, True)
    assert held.revoked_at == held.ended_at
    assert (held.reason, held.refund > 0) == ("terms broken", True)
    assert filled.owed(OTHER.address) == held.refund


def test_issuer_keys_tell_when_and_why_they_ended(filled: EmbeddedLedger) -> None:
    standing, ended = filled.issuer_keys(OTHER.address)
    assert (standing.root, standing.revoked_at, standing.reason) == ("0b" * 32, None, None)
    assert ended.revoked_at is not None
    assert (ended.root, ended.reason) == ("0c" * 32, "the key was stolen")
    assert filled.issuers(OTHER.address) == {"0b" * 32}
    assert filled.issuers(OTHER.address, ended.valid_from) >= {"0c" * 32}


def test_adapter_names_its_parents(filled: EmbeddedLedger) -> None:
    assert [(each.token, each.share) for each in filled.token(2).parents] == [(1, 1000)]
    assert filled.tokens() == (filled.token(1), filled.token(2))


def test_questions_about_an_unknown_adapter_are_lookup_errors(filled: EmbeddedLedger) -> None:
    for question in (filled.token, filled.offers, filled.offer, filled.licences, filled.consent_revocations):
        with pytest.raises(LedgerLookupError, match="no token 9"):
            question(9)
    with pytest.raises(LedgerLookupError, match="no token 9"):
        filled.licence(9, OTHER.address)
    assert not filled.has_licence(9, OTHER.address)
    assert not filled.has_licence(9, OTHER.address, finalised=True)


def test_account_without_anything_has_nothing(filled: EmbeddedLedger) -> None:
    nobody = "0x" + "99" * 20
    assert filled.licence(1, nobody) is None
    assert filled.issuer_keys(nobody) == ()
    assert filled.streams(nobody) == ()
    assert filled.token_of_weights("99" * 32) is None


def test_offer_is_the_latest_that_stands(filled: EmbeddedLedger, maker: KeystoreAccount) -> None:
    second = filled.make_offer(maker, 1, Terms(price=5))
    assert filled.offer(1) == second
    filled.close_offer(maker, 1, 2)
    latest = filled.offer(1)
    assert latest
    assert latest.number == 1
    assert filled.offer(1, 2) is None


def test_the_batch_of_a_serial_is_found_by_an_index(filled: EmbeddedLedger, home: Home) -> None:
    with_index, without = open_reader(home), take_snapshot(filled, 1).reader()
    for serial in (0, 5, 9, 10, 19, 20, 2**28 - 1):
        assert with_index.batch_covering(1, serial) == without.batch_covering(1, serial)
    assert with_index.batch_covering(1, 10) != with_index.batch_covering(1, 9) is not None
    connection = sqlite3.connect(home.path / "chain" / "chain.sqlite")
    plan = connection.execute(
        "EXPLAIN QUERY PLAN SELECT data FROM logs WHERE topic0 = '' AND topic1 = '' AND substr(data, 1, 64) <= ''"
        " ORDER BY substr(data, 1, 64) DESC LIMIT 1"
    ).fetchall()
    connection.close()
    with_index.close()
    assert [row[3] for row in plan] == ["SEARCH logs USING INDEX logs_first (topic0=? AND topic1=? AND <expr><?)"]
