"""Soft bindings as they are asked for: an algorithm's name and the value that a C2PA manifest gives under it."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provenance.credentials import soft_binding_algorithm
from provenance.errors import FormatError
from safety.errors import WatermarkError
from safety.watermark import Payload, detect
from safety.watermark.backend import BACKENDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from safety.watermark import Placement

MAX_VALUE = 4096

_ALGORITHM = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
_PAYLOAD = re.compile(r"[0-9a-f]{16}")


def watermark_algorithms() -> dict[str, str]:
    """The soft binding algorithms read here, each with its watermark backend."""
    return {soft_binding_algorithm(backend): backend for backend in BACKENDS}


@dataclass(frozen=True)
class SoftBinding:
    """One soft binding of ours: the algorithm and the payload that is its value.

    ``placement`` is where the picture it was read in lies on the watermark's plane, and no part of the binding.
    """

    algorithm: str
    payload: Payload
    placement: Placement | None = field(default=None, compare=False)

    @property
    def value(self) -> str:
        """The value as our C2PA assertion has it: 16 lower-case hexadecimal digits."""
        return self.payload.hex

    @property
    def query(self) -> str:
        """The value as the resolution API asks for it: the assertion's value in base64."""
        return base64.b64encode(self.value.encode()).decode()

    @classmethod
    def parse(cls, algorithm: str, value: str) -> SoftBinding | None:
        """What a query asks for; None when it is a binding of someone else's algorithm, which nothing here has.

        ``value`` is base64 of the assertion's value (Soft Binding API 2.2, 1.4: ``softBindingQuery``), or that value as
        it stands in the assertion. Raises FormatError for what is neither.
        """
        if not _ALGORITHM.fullmatch(algorithm):
            raise FormatError(
                "this is not the name of a soft binding algorithm", expected="like org.example.watermark.1"
            )
        if len(value) > MAX_VALUE:
            raise FormatError("the soft binding's value is too long", expected=f"at most {MAX_VALUE} characters")
        text = value if _PAYLOAD.fullmatch(value) else _decoded(value)
        if _PAYLOAD.fullmatch(text):
            return cls(algorithm, Payload.unpack(int(text, 16)))
        if algorithm in watermark_algorithms():
            raise FormatError(
                f"this is not a value of {algorithm}",
                expected="16 hexadecimal digits, in base64",
                found=repr(text)[:80],
            )
        return None


def read_binding(pixels: NDArray[np.uint8], algorithm: str | None = None) -> SoftBinding | None:
    """The soft binding in an (H, W, 3) uint8 picture, by one algorithm or the first that reads something.

    Raises WatermarkError when the picture is none that any of them could read, as one that is too small.
    """
    backends = [each for each in watermark_algorithms().items() if algorithm in (None, each[0])]
    refusals: list[WatermarkError] = []
    for name, backend in backends:
        try:
            detection = detect(pixels, backend=backend)
        except WatermarkError as error:
            refusals.append(error)
        else:
            if detection.payload is not None:
                return SoftBinding(name, Payload.unpack(detection.payload), detection.placement)
    if refusals and len(refusals) == len(backends):
        raise refusals[0]
    return None


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value.encode("ascii"), validate=True).decode("latin-1")
    except (UnicodeEncodeError, binascii.Error) as error:
        raise FormatError("the soft binding's value is not base64", found=repr(value)[:80]) from error
