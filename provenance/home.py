"""PROV_HOME: where one party keeps its identity, accounts, chain, store and journal.

::

    home.json                 which chain and which store (strict, versioned)
    identity/                 issuer key and certificates (0600)
    accounts/NAME.json        encrypted secp256k1 keystores (0600)
    chain/                    the embedded chain's SQLite file and lock
    blocks/                   the embedded block store
    journal.sqlite            reserved serials and image records
    trust/*.pem               roots of others that this home trusts
    prompt.key                HMAC key for prompts in records and logs (0600)
    safety.log                hash-chained log of blocked requests (0600)
    safety.log.head           its newest entry, so that lines cut off its end are missed (0600)
    latents/                  what autoencoders made of pictures, for the next training; may be deleted at any time
    latents.key               HMAC key that its entries are authenticated by (0600)
    keys/                     content keys of sealed weights, each wrapped to one account (0600)
    keys.log                  hash-chained log of the key service
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from provenance.canonical import canonical_json, parse_json
from provenance.errors import FormatError, HomeMissing
from provenance.files import read_file, write_file

TYPE = "urn:prov:home:v1"

MAX_FEE = 1000 * 10**9
"""Wei for one gas; far above what chains ask, far below what a node could make an account burn."""


KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "int | None": (int, type(None)),
    "bool": (bool,),
    "tuple[str, ...]": (tuple,),
}
"""What the annotations of settings allow in JSON; a list becomes a tuple."""


@dataclass(frozen=True)
class ChainSettings:
    """The ledger of a home: ``embedded``, or ``rpc`` with everything pinned at first use.

    ``code_hash`` is the Keccak of the deployed code, ``code_digest`` its sha256. ``confirmations``: how many blocks
    make a block final; None leaves that to the node's own ``finalized``. ``proofs`` and ``receipts`` say what the node
    could prove when it was pinned, and must prove since. ``witnesses`` are nodes that must agree; ``max_fee`` is the
    most that an account here pays for one gas, in wei.
    """

    kind: str = "embedded"
    url: str | None = None
    chain_id: int | None = None
    genesis: str | None = None
    contract: str | None = None
    code_digest: str | None = None
    code_hash: str | None = None
    first_block: int = 0
    allow_remote: bool = False
    confirmations: int | None = None
    proofs: bool = False
    receipts: bool = False
    witnesses: tuple[str, ...] = ()
    max_fee: int = MAX_FEE


@dataclass(frozen=True)
class StoreSettings:
    """The block store of a home: ``folder``, or ``kubo`` with the address of its RPC."""

    kind: str = "folder"
    url: str | None = None
    allow_remote: bool = False


@dataclass(frozen=True)
class Home:
    """One PROV_HOME: its folder and its settings."""

    path: Path
    chain: ChainSettings = field(default_factory=ChainSettings)
    store: StoreSettings = field(default_factory=StoreSettings)

    @property
    def safety_log(self) -> Path:
        """The log of what was blocked."""
        return self.path / "safety.log"

    @staticmethod
    def default_path() -> Path:
        """``$PROV_HOME``, or ``~/.prov``."""
        return Path(os.environ.get("PROV_HOME") or Path.home() / ".prov")

    @classmethod
    def create(cls, path: Path) -> Home:
        """Makes the folder and its settings file, or opens what is already there."""
        if (path / "home.json").exists():
            return cls.open(path)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        home = cls(path)
        home.save()
        return home

    @classmethod
    def open(cls, path: Path | None = None) -> Home:
        """Opens an existing home; raises HomeMissing or FormatError."""
        path = path or cls.default_path()
        settings = path / "home.json"
        if not settings.exists():
            raise HomeMissing(f"there is no prov home at {path}", fix="run `prov init`, or set PROV_HOME")
        raw = parse_json(read_file(settings, limit=1 << 20), str(settings))
        if not isinstance(raw, dict) or raw.get("type") != TYPE or set(raw) != {"type", "chain", "store"}:
            raise FormatError(f"{settings} is not a home file", expected=f'type "{TYPE}" with chain and store')
        return cls(
            path, _section(ChainSettings, raw["chain"], settings), _section(StoreSettings, raw["store"], settings)
        )

    def save(self) -> None:
        """Writes the settings file."""
        value = {"type": TYPE, "chain": asdict(self.chain), "store": asdict(self.store)}
        write_file(self.path / "home.json", canonical_json(value), mode=0o600)

    def with_chain(self, chain: ChainSettings) -> Home:
        """The same home on another ledger; not yet saved."""
        return replace(self, chain=chain)

    def with_store(self, store: StoreSettings) -> Home:
        """The same home on another block store; not yet saved."""
        return replace(self, store=store)


def _section(kind: Any, raw: Any, file: Path) -> Any:
    known = set(kind.__dataclass_fields__)
    if not isinstance(raw, dict) or not set(raw) <= known:
        extra = sorted(set(raw) - known) if isinstance(raw, dict) else raw
        raise FormatError(
            f"{file} has settings that are not known", expected=", ".join(sorted(known)), found=str(extra)
        )
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()}
    for each in fields(kind):
        if each.name in values and not _fits(values[each.name], KINDS[str(each.type)]):
            raise FormatError(
                f"{file} has a malformed {each.name}", expected=str(each.type), found=repr(values[each.name])[:100]
            )
    return kind(**values)


def _fits(value: Any, kinds: tuple[type, ...]) -> bool:
    # A bool is an int to isinstance.
    return type(value) in kinds and (not isinstance(value, tuple) or all(isinstance(each, str) for each in value))
