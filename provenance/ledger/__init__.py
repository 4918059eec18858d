"""The ledger client: tokens, licences, streams and anchors on the embedded chain or on any JSON-RPC endpoint."""

from __future__ import annotations

from collections.abc import Callable

from provenance.home import Home
from provenance.ledger.protocol import Ledger, LedgerReader


def open_reader(home: Home) -> LedgerReader:
    """Opens a home's ledger for reading; light: no EVM and no web3 is imported."""
    if home.chain.kind == "embedded":
        from provenance.ledger.chain_file import open_chain_file
        from provenance.ledger.view import LogView

        return LogView(open_chain_file(home))
    from provenance.ledger.node_reader import open_rpc_reader

    return open_rpc_reader(home)


def open_ledger(home: Home, progress: Callable[[str], None] | None = None) -> Ledger:
    """Opens a home's ledger for transactions; an embedded chain is made if there is none yet.

    ``progress`` is told, in a sentence, what a transaction waits for.
    """
    if home.chain.kind == "embedded":
        from provenance.ledger.embedded import open_embedded_ledger

        return open_embedded_ledger(home)
    from provenance.ledger.rpc import open_rpc_ledger

    return open_rpc_ledger(home, progress)
