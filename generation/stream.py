"""The stream that the pictures of a request are numbered in, and the part of their records that they share."""

from __future__ import annotations

from generation.subject import Subject
from provenance.home import Home
from provenance.identity import Issuer
from provenance.journal import Journal
from provenance.ledger import open_ledger
from provenance.ledger.accounts import load_account
from provenance.ledger.protocol import LedgerReader
from provenance.record import Origin


def open_stream(
    home: Home, journal: Journal, account: str | None, address: str, token: int, passphrase: str | None
) -> int:
    """The stream that an account has open here for a token, or a new one from the ledger."""
    stream = journal.stream_for(address, token)
    if stream is not None:
        return stream
    opened = open_ledger(home).open_stream(load_account(home, account, passphrase), token)
    journal.add_stream(opened)
    return opened.stream


def origin_of(reader: LedgerReader, stream: int, subject: Subject, issuer: Issuer) -> Origin:
    """What every record of a stream says of where its pictures come from."""
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
