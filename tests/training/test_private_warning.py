from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli import train
from provenance.base import BaseModel
from provenance.dataset import sign_dataset
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from safety.policy import Policy
from training.config import TrainConfig
from training.errors import ConfigError
from training.families.opening import open_family
from training.layers import add_adapter
from training.private.accounting import plan_privacy
from training.private.warning import Outlook, count_trained, told

CONFIG = TrainConfig(steps=100, batch_size=2, accumulate=2, rank=4, dp_epsilon=8.0, dp_delta=1e-6)
SETTINGS = "steps = 3\nwarmup_steps = 1\nbatch_size = 2\nsample_steps = 2\nthreads = 1\n"

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.command()(train.command)


@pytest.mark.parametrize("kind", ["sd1_base", "sdxl_base", "sd3_base"])
def test_the_count_from_headers_is_that_of_the_adapter(kind: str, request: pytest.FixtureRequest) -> None:
    base = request.getfixturevalue(kind)
    further = ("proj_out",) if kind == "sd3_base" else ("conv1", "ff.net.2")
    config = replace(CONFIG, targets=(*CONFIG.targets, *further))
    parameters = add_adapter(open_family(base, "cpu", config), config)
    assert count_trained(base, config) == sum(parameter.numel() for parameter in parameters.values())


def test_targets_that_the_base_lacks_are_refused(sd1_base: BaseModel) -> None:
    with pytest.raises(ConfigError, match="1 fault"):
        count_trained(sd1_base, replace(CONFIG, targets=("to_z",)))


def test_signal_to_noise_is_that_of_aligned_gradients_in_noise_on_every_number() -> None:
    plan = plan_privacy(CONFIG, 40)
    outlook = Outlook(plan, numbers=10_000)
    assert outlook.step_ratio == pytest.approx((4 * plan.clip) / (plan.sigma * plan.clip * math.sqrt(10_000)))
    assert outlook.ratio == pytest.approx(10 * outlook.step_ratio)
    # As many pictures more, in batches larger by as much, need the same noise: the ratio is then 1.
    times = outlook.pictures_needed / 40
    assert times * outlook.ratio == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [(100, "something can be learned"), (40_000, "broad traits at most"), (100_000_000, "next to nothing")],
)
def test_the_warning_is_as_plain_as_the_ratio_is_small(numbers: int, said: str) -> None:
    text = told(Outlook(plan_privacy(CONFIG, 40), numbers))
    assert said in text
    assert f"{numbers:,} numbers" in text
    assert ("pictures in batches as much larger" in text) == (numbers > 100)


@pytest.fixture
def own(dataset: Path, tmp_path: Path) -> Path:
    maker = create_issuer(Home.create(Home.default_path()), "Maker")
    return signed(dataset, maker, tmp_path)


def signed(dataset: Path, maker: Issuer, folder: Path) -> Path:
    source = folder / "pictures"
    source.mkdir()
    for picture in sorted((dataset / "dataset" / "data").glob("*.png")):
        (source / picture.name).write_bytes(picture.read_bytes())
        (source / picture.with_suffix(".txt").name).write_text("a square")
    sign_dataset(source, folder / "own", issuer=maker, licence="CC0-1.0", holder="Maker")
    return folder / "own"


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_train_warns_before_it_starts_and_says_after_what_was_spent(
    own: Path, sd1_base: BaseModel, lenient_policy: Policy, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_bytes(lenient_policy.canonical)
    (tmp_path / "train.toml").write_text(SETTINGS)
    given = ("--name", "squares", "--base", sd1_base.folder, "--config", tmp_path / "train.toml", "--out")
    status, printed, progress = run(
        own, *given, tmp_path / "a", "--policy", tmp_path / "policy.yaml", "--dp", "epsilon=8", "--json"
    )
    assert status == 0
    assert progress.index("signal to noise is at best 1 to") < progress.index("reading")
    facts = json.loads(printed)
    assert facts["losses"] is None
    assert 7.9 < facts["privacy"]["spent"] <= 8
    assert (facts["privacy"]["delta"], facts["privacy"]["clip"]) == (1e-5, 0.1)


@pytest.mark.parametrize(
    ("dp", "settings", "said"),
    [
        ("delta=1e-5", "", "needs an epsilon above 0"),
        ("epsilon=8,delta=0.5", "", "must be below 1 / 5"),
        ("epsilon=8", 'kind = "dora"\n', '`kind = "dora"`'),
        ("epsilon=8", "validation_share = 0.2\nvalidate_every = 25\n", "`validation_share`"),
    ],
)
def test_what_cannot_be_private_is_refused_by_name(
    own: Path, sd1_base: BaseModel, tmp_path: Path, dp: str, settings: str, said: str
) -> None:
    (tmp_path / "train.toml").write_text(SETTINGS + settings)
    status, printed, errors = run(
        own, "--name", "x", "--base", sd1_base.folder, "--config", tmp_path / "train.toml", "--dp", dp
    )
    assert (status, printed) == (2, "")
    assert said in errors
