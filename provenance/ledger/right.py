"""Whether an account may use an adapter, decided from three slots of the contract's storage at one block.

This is ``ProvLedger.hasLicense`` in Python: the owner may; a licensee may strictly before the expiry and within the
quota; nobody may while the adapter is taken down.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provenance.errors import LedgerLookupError
from provenance.home import Home
from provenance.ledger.licences import COMMERCIAL, TRANSFERABLE
from provenance.ledger.storage import (
    ADAPTER,
    ADAPTER_REVOKED,
    ADAPTER_TAKEN_DOWN,
    LICENCE,
    LICENCE_REVOKED,
    address_of,
    slot_of,
    unpack,
)

if TYPE_CHECKING:
    from provenance.ledger.header import Header
    from provenance.ledger.protocol import LedgerReader
    from provenance.ledger.rpc_reader import RpcSource

NOBODY = "0x" + "00" * 20


@dataclass(frozen=True)
class Right:
    """What an account may do with an adapter at a block, and why.

    ``why`` is one of ``owner``, ``licensed``, ``expired``, ``used up``, ``revoked``, ``taken down``, ``no licence`` and
    ``no adapter``; ``proved`` says that this is no node's mere word: it was proved against the block's hash, or read
    from this home's own chain. ``usage`` of ``quota`` images are on record (0: no limit). ``withdrawn`` says that the
    adapter was: who holds a licence keeps it, but what is made verifies as revoked.
    """

    token: int
    account: str
    why: str
    owner: str
    expires: int
    quota: int
    usage: int
    flags: int
    block: int
    block_hash: str
    proved: bool
    withdrawn: bool = False

    @property
    def allowed(self) -> bool:
        """Whether the account may use the adapter."""
        return self.why in ("owner", "licensed")


def read_right(home: Home, token: int, account: str) -> Right:
    """What an account may do with an adapter at a home's last final block; light and quick.

    Raises LedgerUnavailable, or LedgerContradiction for a node that does not prove what it could.
    """
    if home.chain.kind == "rpc" and home.chain.proofs:
        from provenance.ledger.rpc_reader import open_rpc_source

        source = open_rpc_source(home, up_to_final=True)
        try:
            return right_at(source, source.final_header(), token, account.lower(), int(time.time()))
        finally:
            source.close()
    if home.chain.kind == "rpc":
        from provenance.ledger.node_reader import open_rpc_reader

        node = open_rpc_reader(home)
        try:
            return node.right(token, account)
        finally:
            node.close()
    from provenance.ledger import open_reader

    reader = open_reader(home)
    try:
        return fold_right(reader, token, account)
    finally:
        reader.close()


def right_at(source: RpcSource, header: Header, token: int, account: str, now: int) -> Right:
    """What an account may do by a node's storage at a block; expiries are compared with the later of ``now`` and the
    block's time."""
    values = source.storage.read(header, slots_of(token, account))
    return decide(token, account, values, header, max(now, header.timestamp), proved=source.settings.proofs)


def fold_right(reader: LedgerReader, token: int, account: str) -> Right:
    """The same from a reader's logs alone, as on the embedded chain; they are believed."""
    account, head, now = account.lower(), reader.head(), reader.now()
    try:
        adapter = reader.token(token)
    except LedgerLookupError:
        return Right(token, account, "no adapter", NOBODY, 0, 0, 0, 0, head.block, "", True)
    held = reader.licence(token, account)
    if adapter.taken_down_at is not None:
        why = "taken down"
    elif adapter.owner == account:
        why = "owner"
    elif held is None:
        why = "no licence"
    elif held.revoked_at is not None:
        why = "revoked"
    elif (held.expires if held.ended_at is None else held.ended_at) <= now:
        why = "expired"
    else:
        why = "licensed" if held.is_valid(now) else "used up"
    return Right(
        token=token,
        account=account,
        why=why,
        owner=adapter.owner,
        expires=0 if held is None else held.expires if held.ended_at is None else held.ended_at,
        quota=0 if held is None else held.quota,
        usage=0 if held is None else held.usage,
        flags=0 if held is None else COMMERCIAL * held.commercial | TRANSFERABLE * held.transferable,
        block=head.block,
        block_hash="",
        proved=True,
        withdrawn=adapter.revoked_at is not None,
    )


def slots_of(token: int, account: str) -> tuple[int, int, int]:
    """The slots that decide: of the owner, of the adapter and of the licence."""
    return slot_of("_owners", token), slot_of("_adapters", token), slot_of("_licences", token, account)


def decide(token: int, account: str, values: Mapping[int, int], header: Header, now: int, *, proved: bool) -> Right:
    """Decides from the values of ``slots_of`` at a block; ``now`` is compared with the expiry."""
    owner_slot, adapter_slot, licence_slot = slots_of(token, account)
    owner = address_of(values[owner_slot])
    adapter = unpack(values[adapter_slot], ADAPTER)
    held = unpack(values[licence_slot], LICENCE)
    usage = max(held["used"], held["anchored"])
    if owner == NOBODY:
        why = "no adapter"
    elif adapter["flags"] & ADAPTER_TAKEN_DOWN:
        why = "taken down"
    elif owner == account and account != NOBODY:
        why = "owner"
    elif held["flags"] & LICENCE_REVOKED:
        why = "revoked"
    elif held["expires"] == 0:
        why = "no licence"
    elif held["expires"] <= now:
        why = "expired"
    elif held["quota"] and usage >= held["quota"]:
        why = "used up"
    else:
        why = "licensed"
    return Right(
        token=token,
        account=account,
        why=why,
        owner=owner,
        expires=held["expires"],
        quota=held["quota"],
        usage=usage,
        flags=held["flags"] & ~LICENCE_REVOKED,
        block=header.number,
        block_hash=header.hash.hex(),
        proved=proved,
        withdrawn=bool(adapter["flags"] & ADAPTER_REVOKED),
    )
