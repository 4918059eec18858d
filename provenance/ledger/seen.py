"""The last final block that a home has seen: a chain does not go back behind it, and a node that does is refused."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from provenance.canonical import canonical_json, parse_json
from provenance.errors import FormatError, LedgerContradiction
from provenance.files import read_file, write_file
from provenance.ledger.header import Header
from provenance.ledger.node import Node, header_call
from provenance.ledger.protocol import LedgerIdentity

TYPE = "urn:prov:seen-block:v1"
REFRESH_SECONDS = 60.0
HASH = re.compile(r"[0-9a-f]{64}")


class Seen:
    """The file that remembers it, and what this process saw since."""

    def __init__(self, folder: Path, identity: LedgerIdentity) -> None:
        self._path = _path(folder, identity)
        self._last: tuple[int, bytes] | None = None
        self._written: tuple[int, bytes] | None = None

    def last(self) -> tuple[int, bytes] | None:
        """Number and hash of the last final block seen; to be asked before the node is, or another process may be
        ahead of the answer."""
        return self._last or self._read()

    def check(self, node: Node, final: Header, last: tuple[int, bytes] | None) -> Header:
        """The later of a final block and the last one seen, which the node must still have; raises
        LedgerContradiction if it does not."""
        if last is not None:
            number, seen = last
            # Behind one address there may be several nodes, some of which hear later what is final.
            known = final if final.number == number else self._known(node, number)
            if known is None or known.hash != seen:
                found = "no such block" if known is None else f"hash {known.hash.hex()}"
                raise self._gone(node, f"block {number} with hash {seen.hex()}", found)
            final = max(final, known, key=lambda header: header.number)
        self._last = (final.number, final.hash)
        if self._is_due():
            self.write()
        return final

    def _known(self, node: Node, number: int) -> Header | None:
        raw = node.ask_all([header_call(number)])[0]
        return None if raw is None else node.read_header(raw, number)

    def write(self) -> None:
        """Remembers for the next process too."""
        if self._last is None or self._last == self._written:
            return
        number, found = self._last
        write_file(self._path, canonical_json({"type": TYPE, "number": number, "hash": found.hex()}), mode=0o600)
        self._written = self._last

    def _gone(self, node: Node, expected: str, found: str) -> LedgerContradiction:
        return LedgerContradiction(
            f"the node {node.name} has gone back behind a block that was final",
            expected=expected,
            found=found,
            fix="if this is a development chain that was started anew, pin it again with `prov chain use`",
        )

    def _is_due(self) -> bool:
        folder = self._path.parent
        if not os.access(folder if folder.exists() else folder.parent, os.W_OK):
            # Reading works in a home that may only be read.
            return False
        return not self._path.exists() or time.time() - self._path.stat().st_mtime > REFRESH_SECONDS

    def _read(self) -> tuple[int, bytes] | None:
        if not self._path.exists():
            return None
        raw = parse_json(read_file(self._path, limit=1 << 12), str(self._path))
        if not isinstance(raw, dict) or raw.get("type") != TYPE or set(raw) != {"type", "number", "hash"}:
            raise FormatError(f"{self._path} is not a record of a block", expected=f'type "{TYPE}"')
        number, found = raw["number"], raw["hash"]
        if type(number) is not int or number < 0 or not isinstance(found, str) or not HASH.fullmatch(found):
            raise FormatError(f"{self._path} is not a record of a block", found=str(raw)[:200])
        return number, bytes.fromhex(found)


def forget_seen(folder: Path, identity: LedgerIdentity) -> None:
    """Starts anew, when a person pins a chain again."""
    _path(folder, identity).unlink(missing_ok=True)


def _path(folder: Path, identity: LedgerIdentity) -> Path:
    return folder / f"seen-{identity.chain_id}-{identity.genesis[:16]}-{identity.contract}.json"
