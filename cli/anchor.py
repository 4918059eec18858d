"""`prov anchor`: put everything recorded since the last time under one root on the ledger."""

from __future__ import annotations

from dataclasses import asdict

from cli.account import As, AsJson, acting
from cli.console import emit, note, progress, refusals


def command(account: As = None, as_json: AsJson = False) -> None:
    """Anchor all images recorded since the last time, so that anyone can verify them.

    Example: prov anchor
    """
    with refusals():
        from provenance.anchoring import anchor_pending
        from provenance.journal import Journal
        from provenance.stores import open_store

        with acting(account) as (home, ledger, signer), Journal.of_home(home) as journal:
            batches = anchor_pending(home, ledger, open_store(home), journal, signer, progress=progress("anchoring"))
            waiting = sum(journal.waiting(stream) for stream in journal.streams())
        emit(
            {"batches": [asdict(batch) for batch in batches], "waiting": waiting},
            "\n".join(
                f"stream {batch.stream}  serials {batch.first} to {batch.first + batch.count - 1}  root {batch.root}\n"
                f"  records {batch.cid}\n  transaction {batch.transaction}"
                for batch in batches
            )
            or "nothing new to anchor",
            as_json=as_json,
        )
        if waiting:
            note(f"{waiting} records wait: another account holds their stream, or a picture before them is being made")
