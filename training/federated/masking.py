"""What both sides of a secure aggregation agree on, and the masks themselves.

SecAgg+ (IACR eprint 2020/704, after arXiv:1611.04482) is Flower's. Two things are stricter here:

- Nobody may drop out. SecAgg+ takes away the masks of somebody who did by giving the server its secret, and a server
  that says so of somebody who is still there has its update in the clear. Here contributors never give that secret.
- Flower 1.42 folds the 256 bits of a mask's key into the 32 bits of a seed, which a server could try one by one. Here
  masks come from the whole key, by ChaCha20 (RFC 8439).
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.common.secure_aggregation.secaggplus_constants import Key

from provenance.canonical import Json, sha256_hex
from provenance.errors import FormatError
from provenance.statement import Statement, is_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEYS_TYPE = "urn:prov:federated-keys:v1"
LEVELS = 1 << 22
MODULUS = 1 << 32
# Beside Flower's own record in a message.
RECORD = "prov"
MASKING_MODULES = (
    "flwr.client.mod.secure_aggregation.secaggplus_mod",
    "flwr.server.workflow.secure_aggregation.secaggplus_workflow",
)


@dataclass(frozen=True)
class Agreement:
    """The numbers of one secure aggregation: contributors, the most items any of them has, how far an update goes."""

    contributors: int
    most_items: int
    reach: float

    def to_config(self) -> dict[str, Any]:
        """What the first message of SecAgg+ must say; all shares are needed to take a mask away."""
        return {
            str(Key.SAMPLE_NUMBER): self.contributors,
            str(Key.SHARE_NUMBER): self.contributors,
            str(Key.THRESHOLD): self.contributors,
            str(Key.CLIPPING_RANGE): self.reach,
            str(Key.TARGET_RANGE): LEVELS,
            str(Key.MOD_RANGE): MODULUS,
            str(Key.MAX_WEIGHT): float(self.most_items),
        }

    def error(self, items: Sequence[int]) -> float:
        """How far the mean may be off by quantising: one level of each contributor, and the share each rounds to."""
        total = sum(items) / self.most_items
        level = 2 * self.reach / LEVELS
        return len(items) * (level + self.reach / LEVELS) / total


@dataclass(frozen=True)
class Keys:
    """A contributor's word that two public keys of SecAgg+ are its own, for one round."""

    created: str
    enrolment: str
    round: int
    masking: str
    sharing: str

    def to_statement(self) -> Statement:
        """The statement that the contributor signs; subjects are the SHA-256 of the keys."""
        predicate: Json = {"created": self.created, "enrolment": self.enrolment, "round": self.round}
        return Statement({"masking-key": self.masking, "sharing-key": self.sharing}, KEYS_TYPE, predicate)

    @classmethod
    def of(cls, statement: Statement, what: str) -> Keys:
        """Reads it strictly; raises FormatError."""
        match statement.predicate, statement.subjects:
            case (
                {"created": str(created), "enrolment": enrolment, "round": int(number)},
                {"masking-key": masking, "sharing-key": sharing},
            ) if len(statement.predicate) == 3 and len(statement.subjects) == 2 and is_digest(enrolment):
                return cls(created, enrolment, number, masking, sharing)
        raise FormatError(f"{what} is not a statement of keys", expected=KEYS_TYPE)

    def are(self, enrolment: str, number: int, masking: bytes, sharing: bytes) -> bool:
        """Whether these are the keys it speaks of, in this round, by this contributor."""
        digests = (sha256_hex(masking), sha256_hex(sharing))
        return (self.enrolment, self.round, self.masking, self.sharing) == (enrolment, number, *digests)


def mask(seed: bytes, num_range: int, dimensions_list: list[tuple[int, ...]]) -> list[NDArray[np.int64]]:
    """Masks in the given shapes, uniform below ``num_range`` (a power of 2, at most 2³²), from every bit of the seed.

    The key stream of ChaCha20 under SHA-256 of the seed; a seed makes masks once. Names are those Flower calls it by.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

    stream = Cipher(ChaCha20(hashlib.sha256(b"prov mask\x00" + seed).digest(), bytes(16)), mode=None).encryptor()
    masks = []
    for shape in dimensions_list:
        words = np.frombuffer(stream.update(bytes(4 * int(np.prod(shape)))), dtype="<u4")
        masks.append((words.astype(np.int64) & (num_range - 1)).reshape(shape))
    return masks


def strengthen_masks() -> None:
    """Puts ``mask`` in the place of Flower's own generator, on both sides; calling it again changes nothing."""
    for name in MASKING_MODULES:
        module = importlib.import_module(name)
        if not hasattr(module, "pseudo_rand_gen"):
            raise FormatError(f"{name} makes its masks in another way than is known here", expected="Flower 1.42")
        module.__dict__["pseudo_rand_gen"] = mask
