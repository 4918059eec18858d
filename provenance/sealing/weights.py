"""Sealed weights out of a published release, in memory only, and keys that prove to open them."""

from __future__ import annotations

from provenance.adapter import TREE, WEIGHTS
from provenance.errors import KeyRefused, SealRefused
from provenance.home import Home
from provenance.ledger.protocol import LedgerReader, Token
from provenance.release import Release, open_release
from provenance.sealing.cipher import unseal_bytes
from provenance.sealing.handover import KeyHolder, licensed, open_content_key
from provenance.sealing.keyring import Keyring
from provenance.sealing.sealed import SUFFIX
from provenance.sealing.wrapping import WrappedKey, unwrap
from provenance.tensors import read_header
from provenance.trigger import EMBEDDINGS
from provenance.unixfs import BlockSource


def unseal_weights(release: Release, token: Token, *, home: Home, reader: LedgerReader, account: KeyHolder) -> bytes:
    """The plaintext weights of a sealed release, equal to the token's digest; nothing is written anywhere.

    Asks the ledger first: without a licence at a finalised block the key is not even read. Raises KeyRefused,
    SealRefused, or what ledger and store raise.
    """
    return _unseal(release, token, WEIGHTS, token.weights, home, reader, account)


def unseal_vectors(
    release: Release, token: Token, digest: str, *, home: Home, reader: LedgerReader, account: KeyHolder
) -> bytes:
    """The vectors of a trigger that are sealed with the weights, equal to the digest in the adapter's statement.

    As `unseal_weights` in all else.
    """
    return _unseal(release, token, EMBEDDINGS, digest, home, reader, account)


def _unseal(
    release: Release, token: Token, name: str, digest: str, home: Home, reader: LedgerReader, account: KeyHolder
) -> bytes:
    if not licensed(reader, token.token, account.address):
        raise KeyRefused(
            f"{account.address} holds no licence for token {token.token} that is final",
            expected="a licence that has not ended, in a finalised block, for an adapter that is not withdrawn",
            fix="if it was bought just now, wait until its block is final",
        )
    content_key = open_content_key(home, reader.identity, token, account)
    pieces = release.stream(TREE + name + SUFFIX)
    data = unseal_bytes(pieces, content_key, plaintext=digest, maker=token.maker)
    read_header(data, name)
    return data


def accept_key(home: Home, reader: LedgerReader, store: BlockSource, wrapped: WrappedKey, account: KeyHolder) -> Token:
    """Keeps a wrapped key that someone handed over, after checking that it opens and fits the published release.

    Returns the token it is for. Raises KeyRefused or SealRefused when it is another account's, ledger's or file's.
    """
    keyring = Keyring.of_home(home, reader.identity)
    token = reader.token_of_weights(wrapped.weights) if wrapped.is_of(reader.identity) else None
    if token is None or token.maker != wrapped.maker:
        raise KeyRefused(
            "the wrapped key is for nothing on this ledger",
            expected=f"an adapter of chain {reader.identity.chain_id}, contract {reader.identity.contract}",
            found=f"weights {wrapped.weights}, chain {wrapped.chain_id}, contract {wrapped.contract}",
        )
    unwrap(wrapped, account.private_key)
    sealed = open_release(store, token.cid).sealed
    if sealed is None or sealed.key_id != wrapped.key_id:
        raise SealRefused(
            f"the wrapped key does not fit the release of token {token.token}",
            expected=f"key {sealed.key_id}" if sealed else "nothing: its weights are published in clear",
            found=f"key {wrapped.key_id}",
        )
    keyring.keep(wrapped)
    return token
