"""Everything a home needs before its first command: identity, account, chain, and the link between them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provenance.errors import IdentityError
from provenance.home import Home
from provenance.identity import Issuer, create_issuer, renew_issuer

DEFAULT_ISSUER_NAME = "prov maker"


@dataclass(frozen=True)
class Setup:
    """What a home consists of after `prov init`."""

    home: Home
    issuer: Issuer
    account: str
    address: str
    chain_id: int
    contract: str


def set_up(
    path: Path,
    *,
    name: str = DEFAULT_ISSUER_NAME,
    account: str | None = None,
    renew: bool = False,
    passphrase: str | None = None,
) -> Setup:
    """Makes a home, or completes one that is there; what exists is kept, so that running it twice harms nothing.

    The issuer's root is registered on the ledger under the account, so that verifiers can find whose signature a
    picture of that account's streams must carry. Raises IdentityError or LedgerUnavailable.
    """
    from provenance.ledger import open_ledger
    from provenance.ledger.accounts import DEFAULT_NAME, account_names, create_account, load_account

    home = Home.create(path)
    account = account or DEFAULT_NAME
    if home.chain.kind != "embedded" and passphrase is None and account not in account_names(home):
        raise IdentityError(
            "an account on a real chain needs a passphrase",
            expected="PROV_PASSPHRASE in the environment",
            fix="set PROV_PASSPHRASE and run `prov init` again",
        )
    issuer = create_or_renew(home, name, passphrase, renew)
    if account in account_names(home):
        signer = load_account(home, account, passphrase)
    else:
        signer = create_account(home, account, passphrase)
    ledger = open_ledger(home)
    try:
        if issuer.root_digest not in ledger.issuers(signer.address):
            ledger.register_issuer(signer, issuer.root_digest)
        identity = ledger.identity
    finally:
        ledger.close()
    return Setup(home, issuer, account, signer.address, identity.chain_id, identity.contract)


def create_or_renew(home: Home, name: str, passphrase: str | None, renew: bool) -> Issuer:
    """The home's issuer, with a new signing key when ``renew`` asks for one and there is an old one to replace."""
    if renew and (home.path / "identity" / "issuer.pem").exists():
        return renew_issuer(home, passphrase)
    return create_issuer(home, name, passphrase)
