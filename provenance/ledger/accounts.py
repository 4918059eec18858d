"""Accounts on the chain, in strict files under ``home/accounts`` (mode 0600).

A file is a keystore v3 with an encrypted secp256k1 key, or names an external signer (see `provenance.ledger.external`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.canonical import canonical_json, parse_json
from provenance.errors import FormatError, IdentityError, UsageError
from provenance.files import read_file, write_file
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.ledger.external import ExternalAccount

DEFAULT_NAME = "maker"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
ADDRESS = re.compile(r"0x[0-9a-f]{40}")
EXTERNAL = "urn:prov:external-account:v1"

SCRYPT_N = 2**18
SCRYPT_N_WITHOUT_PASSPHRASE = 2**12
"""An empty passphrase protects nothing, so its file is not made slow to open; the file mode is the protection."""


@dataclass(frozen=True)
class KeystoreAccount:
    """An account whose key is in memory, unlocked from its keystore."""

    name: str
    address: str
    private_key: bytes = field(repr=False)

    def sign_transaction(self, transaction: dict[str, Any]) -> bytes:
        """The signed transaction's bytes."""
        from eth_account import Account

        return bytes(Account.from_key(self.private_key).sign_transaction(transaction).raw_transaction)

    def sign_typed_data(self, typed: dict[str, Any]) -> bytes:
        """The 65 bytes (r, s, v) of a signature over EIP-712 typed data: types, primaryType, domain and message."""
        from eth_account import Account

        return bytes(Account.from_key(self.private_key).sign_typed_data(full_message=typed).signature)


def create_account(home: Home, name: str = DEFAULT_NAME, passphrase: str | None = None) -> KeystoreAccount:
    """Makes a key and its keystore; raises IdentityError if the name is taken.

    Without a passphrase the file is readable by whoever can read it: enough for the embedded chain, whose money is
    worth nothing.
    """
    path = _path(home, name)
    if path.exists():
        raise IdentityError(f"there is already an account named {name}", fix="choose another name")
    from eth_account import Account

    key = Account.create()
    rounds = SCRYPT_N if passphrase else SCRYPT_N_WITHOUT_PASSPHRASE
    keystore = Account.encrypt(key.key, passphrase or "", kdf="scrypt", iterations=rounds)
    write_file(path, canonical_json(keystore), mode=0o600)
    return KeystoreAccount(name, str(key.address).lower(), bytes(key.key))


def account_from_key(name: str, private_key: bytes) -> KeystoreAccount:
    """An account from its bare key of 32 bytes; raises IdentityError."""
    from eth_account import Account

    try:
        return KeystoreAccount(name, str(Account.from_key(private_key).address).lower(), private_key)
    except ValueError as error:
        raise IdentityError(f"the key of the account {name} is not a secp256k1 key") from error


def load_account(
    home: Home, name: str | None = None, passphrase: str | None = None
) -> KeystoreAccount | ExternalAccount:
    """An account that signs; raises IdentityError if it is missing or the passphrase is wrong."""
    name = name or DEFAULT_NAME
    raw = _read(home, name)
    return _external(name, raw) if raw.get("type") == EXTERNAL else _unlock(raw, name, passphrase)


def load_keystore(home: Home, name: str | None = None, passphrase: str | None = None) -> KeystoreAccount:
    """An account whose key is here, as unwrapping a content key needs it; raises IdentityError for any other."""
    account = load_account(home, name, passphrase)
    if not isinstance(account, KeystoreAccount):
        raise IdentityError(
            f"the key of the account {account.name} is not in this home",
            expected="an account with a keystore: an external signer signs, and does not decrypt",
            fix="use another account: --as NAME (`prov account list`)",
        )
    return account


def add_external(
    home: Home, name: str, address: str, *, command: Sequence[str] | None = None, url: str | None = None
) -> ExternalAccount:
    """Names an external signer, by its command or its URL; raises IdentityError if the name is taken."""
    from provenance.ledger.external import ExternalAccount, parse_external

    path = _path(home, name)
    if path.exists():
        raise IdentityError(f"there is already an account named {name}", fix="choose another name")
    account = ExternalAccount(name, address.lower(), command=tuple(command or ()), url=url)
    parse_external(name, account.to_json())
    write_file(path, canonical_json(account.to_json()), mode=0o600)
    return account


def account_address(home: Home, name: str | None = None) -> str:
    """An account's address, without unlocking it."""
    name = name or DEFAULT_NAME
    return _address(_read(home, name), name)


def _unlock(keystore: dict[str, Any], name: str, passphrase: str | None) -> KeystoreAccount:
    from eth_account import Account

    try:
        key = bytes(Account.decrypt(keystore, passphrase or ""))
    except ValueError as error:
        raise IdentityError(
            f"the account {name} does not open",
            expected="the passphrase it was made with",
            found="another passphrase" if passphrase else "no passphrase",
            fix="set PROV_PASSPHRASE",
        ) from error
    except (KeyError, TypeError, NotImplementedError) as error:
        raise FormatError(f"the account {name} is not a keystore v3 file", found=repr(error)) from error
    account = account_from_key(name, key)
    if account.address != (said := _address(keystore, name)):
        raise IdentityError(f"the account {name} holds another key than it says", expected=said, found=account.address)
    return account


def account_names(home: Home) -> tuple[str, ...]:
    """The names of every account in a home."""
    return tuple(sorted(file.stem for file in (home.path / "accounts").glob("*.json")))


def resolve_address(home: Home, text: str) -> str:
    """An address from an address or from the name of an account in this home; raises UsageError."""
    lowered = text.lower()
    if ADDRESS.fullmatch(lowered):
        return lowered
    if NAME.fullmatch(text) and _path(home, text).exists():
        return account_address(home, text)
    raise UsageError(
        f"{text!r} is neither an address nor an account of this home",
        expected="0x and 40 hexadecimal digits, or a name that `prov account list` shows",
    )


def _path(home: Home, name: str) -> Path:
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name an account", expected="letters, digits, '.', '_' and '-', at most 64")
    return home.path / "accounts" / f"{name}.json"


def _read(home: Home, name: str) -> dict[str, Any]:
    path = _path(home, name)
    if not path.exists():
        raise IdentityError(f"there is no account named {name}", fix=f"run `prov account new {name}`")
    raw = parse_json(read_file(path, limit=1 << 16), f"the account {name}")
    if not isinstance(raw, dict) or not (raw.get("type") == EXTERNAL or raw.get("version") == 3):
        raise FormatError(f"the account {name} is not a keystore v3 file", expected="version 3")
    if raw.get("type") == EXTERNAL:
        _external(name, raw)
    return raw


def _external(name: str, raw: dict[str, Any]) -> ExternalAccount:
    # HTTP comes along, which most commands on one's own chain do without.
    from provenance.ledger.external import parse_external

    return parse_external(name, raw)


def _address(keystore: dict[str, Any], name: str) -> str:
    address = "0x" + str(keystore.get("address", "")).lower().removeprefix("0x")
    if not ADDRESS.fullmatch(address):
        raise FormatError(f"the account {name} is not a keystore v3 file", expected="an address", found=address)
    return address
