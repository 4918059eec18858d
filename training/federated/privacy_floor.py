"""The privacy that a contributor insists on, and what a server's plan gives it."""

from __future__ import annotations

from dataclasses import dataclass

from provenance.errors import UsageError
from training.config import TrainConfig
from training.federated.errors import ServerRefused
from training.private.options import parse_dp


@dataclass(frozen=True)
class PrivacyFloor:
    """The least private training that a contributor takes part in: no epsilon or delta above these for a picture."""

    epsilon: float
    delta: float

    @classmethod
    def of(cls, text: str) -> PrivacyFloor:
        """Reads ``epsilon=8`` or ``epsilon=8,delta=1e-5``, delta 1e-5 if left out; raises UsageError."""
        settings = parse_dp(text)
        if "dp_clip" in settings:
            raise UsageError(
                "the server's plan says where gradients are clipped",
                expected="--dp epsilon=8 or epsilon=8,delta=1e-5",
                found=text[:80],
                fix="leave out clip: the noise is a multiple of it, so epsilon is the same for any",
            )
        return cls(settings["dp_epsilon"], settings["dp_delta"])

    def require(self, config: TrainConfig) -> None:
        """Raises ServerRefused when a training with these settings is less private, or not private at all."""
        if not (0 < config.dp_epsilon <= self.epsilon and config.dp_delta <= self.delta):
            raise ServerRefused(
                "the server plans less privacy than is asked for here",
                expected=f"epsilon of at most {self.epsilon:g} at a delta of at most {self.delta:g}",
                found=told_privacy(config),
                fix="ask whoever runs the server for other settings, or give another --dp",
            )


def told_privacy(config: TrainConfig) -> str:
    """What a training with these settings promises for each picture."""
    if not config.dp_epsilon:
        return "no differential privacy"
    return (
        f"differential privacy: epsilon {config.dp_epsilon:g} at delta {config.dp_delta:g} for each picture,"
        f" each one's gradient clipped to {config.dp_clip:g}"
    )
