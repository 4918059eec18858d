"""Every error that `provenance` raises, in one tree.

::

    ProvenanceError                exit 1   a refusal
    ├── IdentityError                       a key or certificate is missing, unreadable or wrong
    ├── FileRefused                         a file or name that is not safe to read
    ├── ImageRefused                        a picture that is not safe to decode
    ├── SignatureError                      an envelope, bundle or chain does not verify
    ├── FormatError                         bytes that are not what their name says
    ├── DatasetError                        a dataset that cannot be signed or does not verify
    ├── ScreeningInterrupted       exit 130 a screening stopped by Ctrl-C; what was screened is kept
    ├── AdapterError                        an adapter that cannot be signed or does not verify
    ├── SealRefused                         a sealed file or a wrapped key that does not open
    ├── KeyRefused                          a content key that is not here, or is not handed out
    ├── BaseRefused                         a base model of an unknown kind, or in an unsafe format
    ├── RecordError                         a record or journal entry is wrong
    ├── CredentialsError                    Content Credentials cannot be written
    ├── BlockCorrupt                        stored bytes do not hash to their CID
    ├── LedgerRefused                       the contract refused a transaction
    │   └── LedgerLookupError               no such token, stream or licence
    ├── UsageError                 exit 2   the command was called wrongly
    └── Unavailable                exit 3   something needed could not answer
        ├── HomeMissing                     no home here yet
        ├── BaseUnavailable                 a base model cannot be fetched
        ├── StoreUnavailable
        │   └── BlockMissing
        └── LedgerUnavailable
            └── LedgerContradiction         a node contradicts its own chain, or another node
"""

from __future__ import annotations


class ProvenanceError(Exception):
    """A refusal: what went wrong, what was expected, what was found and what to do next."""

    exit_code = 1

    def __init__(
        self, what: str, *, expected: str | None = None, found: str | None = None, fix: str | None = None
    ) -> None:
        self.what = what
        self.expected = expected
        self.found = found
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.found is not None:
            lines.append(f"  found:    {self.found}")
        if self.fix is not None:
            lines.append(f"  do next:  {self.fix}")
        return "\n".join(lines)


class IdentityError(ProvenanceError):
    """A key or certificate is missing, unreadable or wrong."""


class FileRefused(ProvenanceError):
    """A file or a name that is not safe to read."""


class ImageRefused(ProvenanceError):
    """A picture that is not safe to decode."""


class SignatureError(ProvenanceError):
    """An envelope, bundle or certificate chain does not verify."""


class FormatError(ProvenanceError):
    """Bytes that are not what their name says."""


class DatasetError(ProvenanceError):
    """A dataset that cannot be signed or does not verify."""


class ScreeningInterrupted(ProvenanceError):
    """A screening stopped by Ctrl-C; what was screened is kept where a place for it was given."""

    exit_code = 130


class AdapterError(ProvenanceError):
    """An adapter that cannot be signed or does not verify."""


class SealRefused(ProvenanceError):
    """A sealed file or a wrapped key that does not open."""


class KeyRefused(ProvenanceError):
    """A content key that is not here, or is not handed out."""


class BaseRefused(ProvenanceError):
    """A base model of an unknown kind, or in an unsafe format."""


class RecordError(ProvenanceError):
    """An image record or a journal entry is wrong."""


class CredentialsError(ProvenanceError):
    """Content Credentials cannot be written."""


class BlockCorrupt(ProvenanceError):
    """Stored bytes do not hash to their CID."""


class LedgerRefused(ProvenanceError):
    """The contract refused a transaction."""


class LedgerLookupError(LedgerRefused):
    """The ledger has no such token, stream or licence."""


class UsageError(ProvenanceError):
    """The command was called wrongly."""

    exit_code = 2


class Unavailable(ProvenanceError):
    """Something needed could not answer: never a verdict."""

    exit_code = 3


class HomeMissing(Unavailable):
    """There is no home here yet."""


class BaseUnavailable(Unavailable):
    """A base model is neither on this machine nor to be fetched."""


class StoreUnavailable(Unavailable):
    """The block store cannot be reached."""


class BlockMissing(StoreUnavailable):
    """The block store does not hold a block."""


class LedgerUnavailable(Unavailable):
    """The chain cannot be reached or is not the one pinned."""


class LedgerContradiction(LedgerUnavailable):
    """A node's answers contradict each other, another node, or what was seen before: none of them is believed."""
