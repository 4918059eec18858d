"""A published sealed adapter with a maker, a licensee and a stranger: what tests of sealing and of keys share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provenance.home import Home
from provenance.identity import create_issuer
from provenance.ledger import open_reader
from provenance.ledger.accounts import KeystoreAccount, create_account
from provenance.ledger.embedded import EmbeddedLedger, open_embedded_ledger
from provenance.ledger.protocol import LedgerReader, Token
from provenance.release import Release, open_release, publish_release
from provenance.stores import open_store
from provenance.stores.protocol import BlockStore
from provenance.trust import TrustStore
from tests.provenance.verify.conftest import _adapter, _dataset

YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class SealedWorld:
    """A home with three accounts; the licensee holds a licence for ``token``, the stranger holds none."""

    folder: Path
    home: Home
    maker: KeystoreAccount
    licensee: KeystoreAccount
    stranger: KeystoreAccount
    token: Token

    @property
    def store(self) -> BlockStore:
        return open_store(self.home)

    @property
    def release(self) -> Release:
        return open_release(self.store, self.token.cid)

    @property
    def plaintext(self) -> bytes:
        return (self.folder / "one" / "adapter" / "adapter.safetensors").read_bytes()

    def publish(self, *, sealed: bool, seed: int) -> Token:
        """Another adapter of the maker's."""
        issuer_trust = TrustStore.of_home(self.home)
        from provenance.dataset import verify_dataset
        from provenance.identity import load_issuer

        dataset = verify_dataset(self.folder / "harbour", issuer_trust)
        adapter = _adapter(self.folder, load_issuer(self.home), dataset, f"more-{seed}", seed)
        with self.ledger() as ledger:
            return publish_release(
                adapter,
                self.folder / "harbour",
                home=self.home,
                ledger=ledger,
                store=self.store,
                account=self.maker,
                trust=issuer_trust,
                sealed=sealed,
            )

    @contextmanager
    def ledger(self) -> Iterator[EmbeddedLedger]:
        ledger = open_embedded_ledger(self.home)
        try:
            yield ledger
        finally:
            ledger.close()

    @contextmanager
    def reader(self) -> Iterator[LedgerReader]:
        reader = open_reader(self.home)
        try:
            yield reader
        finally:
            reader.close()


def build_sealed_world(folder: Path) -> SealedWorld:
    """The template; see ``copy_world``."""
    home = Home.create(folder / "home")
    issuer = create_issuer(home, "Ada Example")
    maker, licensee, stranger = (create_account(home, name) for name in ("maker", "licensee", "stranger"))
    ledger = open_embedded_ledger(home)
    for account in (maker, licensee, stranger):
        ledger.fund(account.address)
    dataset = _dataset(folder, issuer, range(2), "harbour")
    token = publish_release(
        _adapter(folder, issuer, dataset, "one", 1),
        folder / "harbour",
        home=home,
        ledger=ledger,
        store=open_store(home),
        account=maker,
        trust=TrustStore.of_home(home),
    )
    ledger.grant(maker, token.token, licensee.address, expires=ledger.now() + YEAR)
    ledger.close()
    return SealedWorld(folder, home, maker, licensee, stranger, token)


def copier(template: SealedWorld) -> Callable[[Path], SealedWorld]:
    """Gives a copy of the template to whoever changes it."""

    def copy(folder: Path) -> SealedWorld:
        shutil.copytree(template.folder, folder, dirs_exist_ok=True)
        home = Home.open(folder / "home")
        return SealedWorld(folder, home, template.maker, template.licensee, template.stranger, template.token)

    return copy
