"""What the watermark says: namespace 8 | stream 28 | serial 28, most significant first, in 64 bits."""

from __future__ import annotations

from dataclasses import dataclass

from safety.errors import WatermarkError

NAMESPACE_BITS, STREAM_BITS, SERIAL_BITS = 8, 28, 28
PAYLOAD_BITS = NAMESPACE_BITS + STREAM_BITS + SERIAL_BITS


@dataclass(frozen=True)
class Payload:
    """One picture's number: the ledger's namespace, the stream on it, and the serial in the stream."""

    namespace: int
    stream: int
    serial: int

    def __post_init__(self) -> None:
        for name, bits in (("namespace", NAMESPACE_BITS), ("stream", STREAM_BITS), ("serial", SERIAL_BITS)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << bits:
                raise WatermarkError(
                    f"the payload's {name} does not fit", expected=f"0 to {(1 << bits) - 1}", found=repr(value)
                )

    def pack(self) -> int:
        """The 64-bit number."""
        return self.namespace << (STREAM_BITS + SERIAL_BITS) | self.stream << SERIAL_BITS | self.serial

    @classmethod
    def unpack(cls, number: int) -> Payload:
        """Takes a 64-bit number apart; raises WatermarkError when it is not one."""
        check_payload(number)
        return cls(
            number >> (STREAM_BITS + SERIAL_BITS),
            number >> SERIAL_BITS & (1 << STREAM_BITS) - 1,
            number & (1 << SERIAL_BITS) - 1,
        )

    @property
    def hex(self) -> str:
        """The number as 16 lower-case hexadecimal digits."""
        return f"{self.pack():016x}"


def check_payload(number: int) -> None:
    """Raises WatermarkError unless ``number`` is an integer of at most 64 bits."""
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << PAYLOAD_BITS:
        raise WatermarkError("the payload is not a 64-bit number", expected="0 to 2^64 - 1", found=repr(number))
