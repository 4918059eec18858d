"""Handing content keys over: who has one, who may have it, and wrapping it for an account."""

from __future__ import annotations

from typing import Protocol

from provenance.errors import IdentityError, KeyRefused
from provenance.home import Home
from provenance.ledger.protocol import LedgerIdentity, LedgerReader, Token
from provenance.sealing.cipher import new_content_key
from provenance.sealing.keyring import Keyring
from provenance.sealing.sender import sender_public_key
from provenance.sealing.wrapping import WrappedKey, public_key_of, unwrap, wrap


class KeyHolder(Protocol):
    """An account whose private key is in memory, such as ``KeystoreAccount``."""

    @property
    def address(self) -> str: ...

    @property
    def private_key(self) -> bytes: ...


def licensed(reader: LedgerReader, token: int, account: str) -> bool:
    """Whether an account may have an adapter's key: licensed in a finalised block, and not deprived of it since.

    An adapter that its maker withdrew gives no key even to those whose licence runs on: its pictures would be revoked.
    """
    return (
        reader.has_licence(token, account, finalised=True)
        and reader.has_licence(token, account)
        and reader.token(token).revoked_at is None
    )


def own_content_key(home: Home, identity: LedgerIdentity, weights: str, maker: KeyHolder) -> bytes:
    """The content key of an adapter that this account publishes, made and kept wrapped to it the first time."""
    keyring = Keyring.of_home(home, identity)
    held = keyring.find(weights, maker.address)
    if held is not None:
        return unwrap(held, maker.private_key)
    made, public_key = new_content_key(), public_key_of(maker.private_key)
    wrapped = wrap(made, identity=identity, weights=weights, maker=maker.address, public_key=public_key)
    try:
        keyring.keep(wrapped)
    except KeyRefused:
        # Another process published the same weights at the same time, and was first: its key counts.
        kept = keyring.find(weights, maker.address)
        if kept is None:
            raise
        return unwrap(kept, maker.private_key)
    return made


def open_content_key(home: Home, identity: LedgerIdentity, token: Token, holder: KeyHolder) -> bytes:
    """The content key of a token that this home holds for an account; raises KeyRefused when it holds none."""
    held = Keyring.of_home(home, identity).find(token.weights, holder.address)
    if held is None:
        raise KeyRefused(
            f"this home holds no key for token {token.token} and {holder.address}",
            expected="a key that its maker wrapped for this account",
            fix=f"fetch it from the maker's key service: prov keys fetch {token.token} --url URL; "
            "or add the file the maker gave: prov keys add FILE",
        )
    if held.maker != token.maker:
        raise KeyRefused("the key was wrapped by another maker", expected=token.maker, found=held.maker)
    return unwrap(held, holder.private_key)


def wrap_for(home: Home, reader: LedgerReader, token: Token, holder: KeyHolder, public_key: bytes) -> WrappedKey:
    """Wraps a token's content key, which ``holder`` opens, for a public key; a copy stays in the home.

    Only the token's maker or owner hands keys on. Whoever calls has made sure of the licence: see ``licensed``. Raises
    KeyRefused, SealRefused or UsageError.
    """
    if holder.address not in (token.maker, token.owner):
        raise KeyRefused(
            f"{holder.address} is neither the maker nor the owner of token {token.token}",
            expected=f"{token.maker} or {token.owner}",
            fix="name the account with --as",
        )
    content_key = open_content_key(home, reader.identity, token, holder)
    wrapped = wrap(
        content_key, identity=reader.identity, weights=token.weights, maker=token.maker, public_key=public_key
    )
    Keyring.of_home(home, reader.identity).keep(wrapped)
    return wrapped


def known_public_key(home: Home, reader: LedgerReader, address: str, passphrase: str | None = None) -> bytes | None:
    """The public key of an account: of this home's own if it opens, of an earlier wrapped key, or of a transaction.

    An address alone is a hash, to which nothing can be wrapped. Raises LedgerUnavailable.
    """
    from provenance.ledger.accounts import account_address, account_names, load_keystore

    for name in account_names(home):
        if account_address(home, name) != address:
            continue
        try:
            return public_key_of(load_keystore(home, name, passphrase).private_key)
        except IdentityError:
            # Locked under another passphrase, or its key is elsewhere: it may still be known from an earlier key.
            break
    return Keyring.of_home(home, reader.identity).public_key_of(address) or sender_public_key(home, reader, address)
