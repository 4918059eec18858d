"""How much noise a privacy budget costs, and what a training has spent of it, by Opacus' accountant.

Each step is a Poisson-subsampled Gaussian mechanism: every picture is drawn with probability q by itself, its gradient
is clipped, and noise of sigma times that bound is added to the sum (arXiv:1607.00133). Its Rényi differential privacy
(arXiv:1908.10530, section 3.3) adds up over the steps and is turned into epsilon at delta (arXiv:1905.09982,
theorem 21).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache

from provenance.canonical import Json
from training.config import TrainConfig
from training.errors import ConfigError, TrainingError

PRIVACY = "privacy"
ACCOUNTANT = "rdp"
# Those of Opacus, and higher ones, which bound small epsilons more tightly.
ORDERS = (*(1 + tenth / 10 for tenth in range(1, 100)), *range(11, 64), 64, 80, 96, 128, 192, 256, 384, 512)
_TOLERANCE = 0.01
_SOURCE = "the training configuration"


@dataclass(frozen=True)
class Plan:
    """A training's privacy: for at most ``epsilon`` at ``delta``, noise of ``sigma`` times ``clip`` in every step.

    ``sample_rate`` is the probability with which each of ``items`` pictures is drawn in each of ``steps`` steps, by
    itself. ``spent`` is the epsilon that all steps come to, as this release of Opacus counts.
    """

    epsilon: float
    delta: float
    clip: float
    sigma: float
    sample_rate: float
    steps: int
    items: int
    spent: float
    opacus: str
    accountant: str = ACCOUNTANT

    @property
    def expected_batch(self) -> float:
        """How many pictures a step draws on average: what its sum is divided by, however many it drew."""
        return self.sample_rate * self.items

    def to_json(self) -> Json:
        return asdict(self)


def plan_privacy(config: TrainConfig, items: int) -> Plan:
    """The plan for a training on ``items`` pictures; a batch larger than that draws all of them in every step.

    Raises ConfigError where no noise keeps the promise, or where the promise is none; TrainingError without Opacus.
    """
    if config.dp_delta * items >= 1:
        raise ConfigError(
            _SOURCE,
            (
                f"`dp_delta` must be below 1 / {items} (one picture of all), not {config.dp_delta:g}: "
                "at that delta, giving a picture away whole counts as private",
            ),
        )
    rate = min(1.0, config.batch_size * config.accumulate / items)
    try:
        sigma = _least_sigma(config.dp_epsilon, config.dp_delta, rate, config.steps)
    except ValueError as error:
        fault = f"`dp_epsilon` of {config.dp_epsilon:g} cannot be kept over {config.steps} steps by any noise"
        raise ConfigError(_SOURCE, (f"{fault}: raise it, or take fewer steps",)) from error
    return Plan(
        epsilon=config.dp_epsilon,
        delta=config.dp_delta,
        clip=config.dp_clip,
        sigma=sigma,
        sample_rate=rate,
        steps=config.steps,
        items=items,
        spent=epsilon_spent(sigma, rate, config.steps, config.dp_delta),
        opacus=_opacus_release(),
    )


def stated_privacy(config: TrainConfig, items: int) -> Json:
    """What an attestation says of a private training: the plan, what it is about, and what is withheld for it."""
    return {
        **plan_privacy(config, items).to_json(),
        "mechanism": "Poisson-subsampled Gaussian",
        "neighbours": "one item's gradients are left out of every step",
        "unit": "one item of the dataset",
        "withheld": ["losses", "replay"],
    }


def epsilon_spent(sigma: float, sample_rate: float, steps: int, delta: float) -> float:
    """The epsilon at ``delta`` of so many steps, by the accountant; 0 before the first."""
    _opacus_release()
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(sigma, sample_rate, steps)] if steps else []
    with _without_hints():
        return float(accountant.get_epsilon(delta, alphas=list(ORDERS)))


@lru_cache(maxsize=16)
def _least_sigma(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    _opacus_release()
    from opacus.accountants.utils import get_noise_multiplier

    with _without_hints():
        sigma: float = get_noise_multiplier(
            target_epsilon=epsilon,
            target_delta=delta,
            sample_rate=sample_rate,
            steps=steps,
            accountant=ACCOUNTANT,
            epsilon_tolerance=min(_TOLERANCE, epsilon / 100),
            alphas=list(ORDERS),
        )
    return sigma


def _opacus_release() -> str:
    try:
        import opacus
    except ImportError as error:
        raise TrainingError(
            "a differentially private training needs the package opacus, which is not installed",
            fix="pip install 'prov[private]'",
        ) from error
    return str(opacus.__version__)


@contextmanager
def _without_hints() -> Iterator[None]:
    """Opacus says when the best order is its first or last: a looser bound than could be had, and still a bound."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order is the")
        yield
