"""How a federated training goes, as whoever runs the server says it."""

from __future__ import annotations

from dataclasses import dataclass

from provenance.errors import UsageError

MIN_MASKED = 3


@dataclass(frozen=True)
class Terms:
    """How a federated training goes: at least ``least`` contributors must last to its end; times in seconds."""

    name: str
    rounds: int
    contributors: int
    least: int
    secure: bool
    waits: float = 3600.0
    round_time: float = 86400.0

    @classmethod
    def of(
        cls, name: str, rounds: int, contributors: int, least: int | None, secure: bool | None, **times: float
    ) -> Terms:
        """What a command says, checked; a secure aggregation unless it is declined or there are fewer than three.

        Raises UsageError.
        """
        if secure is None:
            secure = contributors >= MIN_MASKED and (least is None or least == contributors)
        wanted = contributors if least is None else least
        if rounds < 1 or contributors < 2 or not 2 <= wanted <= contributors:
            raise UsageError(
                "a federated training needs a round and two contributors",
                found=f"{rounds} rounds, {contributors} contributors, at least {wanted}",
            )
        if secure and contributors < MIN_MASKED:
            raise UsageError(
                "a sum of two hides nothing from either of them",
                expected=f"at least {MIN_MASKED} contributors for a secure aggregation",
                fix="take --no-secure-aggregation, where the server sees every update",
            )
        if secure and wanted != contributors:
            raise UsageError(
                "in a secure aggregation nobody can be left out",
                expected="--least not given",
                fix="take --no-secure-aggregation to go on without contributors that fail",
            )
        return cls(name, rounds, contributors, wanted, secure, **times)
