"""What `--dp epsilon=8,delta=1e-5,clip=0.1` asks for, as settings of a training."""

from __future__ import annotations

from provenance.canonical import Json
from provenance.errors import UsageError

USUAL_DELTA = 1e-5
_SETTINGS = ("epsilon", "delta", "clip")
# What presets choose and a private training cannot have.
_GIVEN_UP = ("gradient_checkpointing", "patience", "prior_count", "prior_prompts", "validation_share")


def parse_dp(text: str) -> Json:
    """The settings that a ``--dp`` text names: ``epsilon`` always, ``delta`` 1e-5 and ``clip`` the usual if left out.

    Raises UsageError; which numbers are possible is for the configuration to say.
    """
    settings: Json = {"dp_delta": USUAL_DELTA}
    named: set[str] = set()
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or name not in _SETTINGS or name in named:
            raise _malformed(part)
        try:
            settings[f"dp_{name}"] = float(value)
        except ValueError:
            raise _malformed(part) from None
        named.add(name)
    if settings.get("dp_epsilon", 0.0) <= 0:
        raise UsageError(
            "--dp needs an epsilon above 0",
            expected="epsilon=8",
            found=text[:80],
            fix="a smaller epsilon protects more",
        )
    return settings


def as_private(settings: Json) -> Json:
    """A preset's settings without those that a private training gives up."""
    return {name: value for name, value in settings.items() if name not in _GIVEN_UP}


def _malformed(part: str) -> UsageError:
    return UsageError(
        "--dp is not a list of privacy settings",
        expected="epsilon=8 or epsilon=8,delta=1e-5,clip=0.1, each once",
        found=part.strip()[:80] or "nothing between two commas",
        fix="docs/private-training.md says what each does",
    )
