"""Which tokens a merge owes a share of its sales, before it becomes a token itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from provenance.errors import AdapterError
from provenance.ledger.protocol import LedgerReader, Token
from provenance.merged.parents import Parent


def require_parent_tokens(parents: Sequence[Parent], ledger: LedgerReader, given: Sequence[int]) -> None:
    """Raises AdapterError naming every token among the parents of a merge that is not given as one.

    A parent that was never published stands for its own parents. The chain's contract takes derivable tokens alone,
    and shares the sales of a merge with those it is given.
    """
    missing = [(parent, token) for parent, token in _published(parents, ledger) if token.token not in given]
    if missing:
        every = sorted({*given, *(token.token for _, token in missing)})
        raise AdapterError(
            "the adapter was merged from published ones, which are to be named as its parents",
            expected=", ".join(f"token {token.token}, which has the weights of {each.name}" for each, token in missing),
            found=", ".join(f"--parent {number}" for number in given) or "no --parent",
            fix=" ".join(f"--parent {number}" for number in every),
        )


def _published(parents: Sequence[Parent], ledger: LedgerReader) -> Iterator[tuple[Parent, Token]]:
    for parent in parents:
        token = ledger.token_of_weights(parent.weights)
        if token is not None:
            yield parent, token
        else:
            yield from _published(parent.parents, ledger)
