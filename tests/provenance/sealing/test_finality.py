"""A key follows a licence only when its block is final, and not once the licence ended, final or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from provenance.errors import KeyRefused
from provenance.ledger.chain_file import ChainFile, open_chain_file
from provenance.ledger.protocol import Head, LedgerIdentity, Log
from provenance.ledger.view import LogView
from provenance.sealing import licensed, public_key_of, wrap_for
from provenance.sealing.weights import unseal_weights
from tests.provenance.sealed_world import YEAR, SealedWorld


class Lagging:
    """The chain of a home, of which all but the newest blocks are final."""

    def __init__(self, source: ChainFile, behind: int) -> None:
        self._source = source
        self._behind = behind

    @property
    def identity(self) -> LedgerIdentity:
        return self._source.identity

    def head(self) -> Head:
        return self._source.head()

    def finalised(self) -> Head:
        head = self.head()
        return Head(head.block - self._behind, head.timestamp)

    def logs(self, topics: Sequence[str | None]) -> Iterable[Log]:
        return self._source.logs(topics)

    def close(self) -> None:
        self._source.close()


@contextmanager
def lagging(world: SealedWorld, behind: int) -> Iterator[LogView]:
    reader = LogView(Lagging(open_chain_file(world.home), behind))
    try:
        yield reader
    finally:
        reader.close()


def test_a_licence_in_a_block_that_is_not_final_opens_nothing_yet(world: SealedWorld) -> None:
    token, stranger = world.token, world.stranger
    with world.ledger() as ledger:
        ledger.grant(world.maker, token.token, stranger.address, expires=ledger.now() + YEAR)
    with world.reader() as reader:
        wrap_for(world.home, reader, token, world.maker, public_key_of(stranger.private_key))
    with lagging(world, 1) as reader:
        assert reader.has_licence(token.token, stranger.address)
        assert not licensed(reader, token.token, stranger.address)
        with pytest.raises(KeyRefused, match="that is final"):
            unseal_weights(world.release, token, home=world.home, reader=reader, account=stranger)
    with lagging(world, 0) as reader:
        assert unseal_weights(world.release, token, home=world.home, reader=reader, account=stranger)


def test_a_revocation_counts_before_its_block_is_final(world: SealedWorld) -> None:
    with world.ledger() as ledger:
        ledger.revoke(world.maker, world.token.token, world.licensee.address, reason="terms broken")
    with lagging(world, 1) as reader:
        assert reader.has_licence(world.token.token, world.licensee.address, finalised=True)
        assert not licensed(reader, world.token.token, world.licensee.address)
