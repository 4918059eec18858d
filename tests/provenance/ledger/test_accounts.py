"""Keystores: foreign tools read them, and nothing opens the wrong one."""

from __future__ import annotations

import json
import stat

import pytest
from eth_account import Account

from provenance.errors import FormatError, IdentityError, UsageError
from provenance.home import Home
from provenance.ledger.accounts import (
    account_address,
    account_from_key,
    account_names,
    create_account,
    load_account,
    resolve_address,
)


def test_account_is_loaded_as_it_was_made(home: Home) -> None:
    made = create_account(home, "maker")
    assert load_account(home) == made
    assert account_address(home) == made.address
    assert account_names(home) == ("maker",)
    assert made.private_key.hex() not in repr(made)


def test_keystore_is_private_and_opens_with_eth_account(home: Home) -> None:
    made = create_account(home, "studio", "a long passphrase")
    path = home.path / "accounts" / "studio.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keystore = json.loads(path.read_bytes())
    assert keystore["crypto"]["kdfparams"]["n"] == 2**18
    assert bytes(Account.decrypt(keystore, "a long passphrase")) == made.private_key
    assert load_account(home, "studio", "a long passphrase") == made


def test_wrong_passphrase_is_refused_and_says_what_to_set(home: Home) -> None:
    create_account(home, "maker")
    with pytest.raises(IdentityError, match="PROV_PASSPHRASE"):
        load_account(home, "maker", "wrong")


def test_account_is_never_overwritten(home: Home) -> None:
    create_account(home, "maker")
    with pytest.raises(IdentityError, match="already an account"):
        create_account(home, "maker")


def test_missing_account_says_how_to_make_it(home: Home) -> None:
    with pytest.raises(IdentityError, match="prov account new studio"):
        load_account(home, "studio")


def test_keystore_that_names_another_address_is_refused(home: Home) -> None:
    create_account(home, "maker")
    path = home.path / "accounts" / "maker.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "address": "11" * 20}))
    with pytest.raises(IdentityError, match="another key"):
        load_account(home)


@pytest.mark.parametrize("text", ["[]", "{}", '{"version": 2}', '{"version": 3}', '{"version": 3, "address": 7}', "no"])
def test_file_that_is_no_keystore_is_a_format_error(home: Home, text: str) -> None:
    path = home.path / "accounts" / "maker.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(FormatError):
        account_address(home)


@pytest.mark.parametrize("name", ["", "../maker", "a/b", ".hidden", "x" * 65, "ümlaut"])
def test_names_that_are_not_plain_are_refused(home: Home, name: str) -> None:
    with pytest.raises(UsageError):
        create_account(home, name)


def test_address_is_resolved_from_an_address_or_a_name(home: Home) -> None:
    made = create_account(home, "maker")
    assert resolve_address(home, "maker") == made.address
    assert resolve_address(home, "0x" + "AB" * 20) == "0x" + "ab" * 20
    for wrong in ("nobody", "0x12", ""):
        with pytest.raises(UsageError):
            resolve_address(home, wrong)


def test_bare_key_must_be_one() -> None:
    with pytest.raises(IdentityError):
        account_from_key("bad", b"\0" * 32)
