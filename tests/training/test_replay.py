from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from benchmarks.replay import CHEATS, cheating, forged
from provenance.adapter import AdapterManifest
from provenance.base import BaseModel
from provenance.dataset import sign_dataset, verify_dataset
from provenance.errors import FormatError, UsageError
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.screening.screens import ScreeningChoice
from provenance.trust import TrustStore
from training import setup
from training.config import TrainConfig
from training.errors import ConfigError, ReplayRefused, ReplayUnavailable, TrainingError, TrainingInterrupted
from training.lora import Progress, train
from training.replay import executing as replaying
from training.replay.chain import Chain
from training.replay.executing import Replayed, choose_segments, plan_runs, replay
from training.replay.record import Recorded, read_recorded
from training.replay.snapshots import SNAPSHOTS

# Nine steps in segments of two: the last is shorter.
CONFIG = TrainConfig(
    steps=9,
    warmup_steps=1,
    batch_size=1,
    accumulate=2,
    rank=2,
    alpha=3.0,
    learning_rate=0.02,
    final_learning_rate=0.01,
    lora_dropout=0.2,
    targets=("to_q", "to_v"),
    sample_count=0,
    threads=1,
    replay_every=2,
    replay_snapshots=True,
)
ALL = (0, 1, 2, 3, 4)

Train = Callable[..., AdapterManifest]


@dataclass(frozen=True)
class Trained:
    recorded: Recorded
    manifest: DatasetManifest
    base: BaseModel
    snapshots: Path

    def replay(self, chosen: tuple[int, ...] = ALL, recorded: Recorded | None = None, **options: Any) -> Replayed:
        options = {"snapshots": self.snapshots} | options
        return replay(recorded or self.recorded, self.manifest, self.base, chosen, **options)


@pytest.fixture(scope="module")
def trainer(
    dataset: Path, trust: TrustStore, issuer: Issuer, sd1_base: BaseModel, lenient: ScreeningChoice
) -> Callable[..., Trained]:
    def run(folder: Path, config: TrainConfig = CONFIG, **options: Any) -> Trained:
        torch.set_num_threads(1)
        manifest, release = verify_dataset(dataset, trust), folder / "squares"
        adapter = train(manifest, sd1_base, config, release, issuer=issuer, name="x", screening=lenient, **options)
        return Trained(read_recorded(adapter), manifest, sd1_base, folder / "squares.work" / SNAPSHOTS)

    return run


@pytest.fixture(scope="module")
def honest(trainer: Callable[..., Trained], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trainer(tmp_path_factory.mktemp("honest"))


def stop_at(step: int, stage: str = "training") -> Callable[[Progress], None]:
    def press(progress: Progress) -> None:
        if progress.stage == stage and progress.done == step:
            os.kill(os.getpid(), signal.SIGINT)

    return press


def changed_stack(recorded: Recorded, **changes: str) -> Recorded:
    (session,) = recorded.chain.sessions
    sessions = (replace(session, stack={**session.stack, **changes}),)
    return replace(recorded, chain=replace(recorded.chain, sessions=sessions))


def with_chain(recorded: Recorded, chain: Any) -> AdapterManifest:
    predicate = deepcopy(recorded.adapter.predicate)
    byproducts = predicate["runDetails"]["byproducts"]
    next(each for each in byproducts if each["name"] == "replay")["annotations"] = chain
    return replace(recorded.adapter, predicate=predicate)


def test_an_honest_training_is_replayed_to_the_same_bits(honest: Trained) -> None:
    made = honest.replay()
    assert (made.verdict, made.exit_code) == ("agrees", 0)
    assert (made.executed, made.steps, made.segments) == (ALL, 9, 5)
    assert (made.mismatch, made.released_agrees, made.stack) == (None, True, ())


def test_a_segment_begins_at_its_snapshot(honest: Trained) -> None:
    made = honest.replay((3,))
    assert (made.verdict, made.executed, made.steps) == ("agrees", (3,), 2)
    # The last snapshot is the state that was released.
    assert made.released_agrees


def test_without_snapshots_a_segment_is_reached_from_the_first_step(honest: Trained) -> None:
    made = honest.replay((2,), snapshots=None)
    assert (made.verdict, made.executed, made.released_agrees) == ("agrees", (0, 1, 2), None)


def test_a_missing_snapshot_takes_nothing_out_of_the_choice(honest: Trained, tmp_path: Path) -> None:
    kept = shutil.copytree(honest.snapshots, tmp_path / "kept")
    (kept / "step-00000006.safetensors").unlink()
    assert honest.replay((3,), snapshots=kept).executed == (2, 3)


@pytest.mark.parametrize("kind", [kind for kind in CHEATS if kind != "link"])
def test_a_cheat_in_a_segment_is_found_where_it_was_done(
    kind: str, trainer: Callable[..., Trained], tmp_path: Path
) -> None:
    with cheating({5: kind}):
        dishonest = trainer(tmp_path)
    assert dishonest.replay((0, 1)).verdict == "agrees"
    made = dishonest.replay((2,))
    assert made.mismatch is not None
    assert (made.verdict, made.exit_code, made.mismatch.segment) == ("differs", 1, 2)
    assert (made.mismatch.first, made.mismatch.last) == (4, 6)
    expected = {
        "batch": "batch", "noise": "batch", "loss": "losses", "weight": "adapter", "moment": "optimiser",
        "doubled": "optimiser",
    }.get(kind, "adapter")  # fmt: skip
    assert expected in made.mismatch.parts
    assert ("batch" in made.mismatch.parts) == (kind in ("batch", "noise"))
    # The segments after it follow honestly from a state that was cheated into being.
    assert dishonest.replay((3, 4)).verdict == "agrees"


def test_a_link_that_was_forged_with_all_that_follow_is_found(honest: Trained) -> None:
    recorded = forged(honest.recorded, 2)
    read_recorded(with_chain(recorded, recorded.chain.to_json()))
    made = honest.replay((2,), recorded)
    assert made.mismatch is not None
    assert (made.exit_code, made.mismatch.segment, made.mismatch.parts) == (1, 2, ("adapter",))


def test_a_forged_initial_state_is_found(honest: Trained) -> None:
    first = honest.recorded.chain.links[0]
    links = (replace(first, parts=replace(first.parts, adapter="ab" * 32)), *honest.recorded.chain.links[1:])
    made = honest.replay((1,), replace(honest.recorded, chain=replace(honest.recorded.chain, links=links)))
    assert made.mismatch is not None
    assert (made.exit_code, made.mismatch.last, made.executed) == (1, 0, ())


def test_released_weights_that_are_not_the_last_state_are_found(
    trainer: Callable[..., Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import release

    write = release.kohya_bytes

    def other(weights: dict[str, torch.Tensor], *rest: Any) -> bytes:
        return write({name: tensor * 1.5 for name, tensor in weights.items()}, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(release, "kohya_bytes", other)
        dishonest = trainer(tmp_path)
    assert dishonest.replay((0,), snapshots=None).released_agrees is None
    made = dishonest.replay((0,))
    assert (made.mismatch, made.released_agrees, made.verdict, made.exit_code) == (None, False, "differs", 1)


def test_a_release_with_other_weights_than_its_chain_ends_in_is_refused(honest: Trained) -> None:
    chain = honest.recorded.chain
    other = Chain.over(chain.every, chain.links, chain.sessions, {name: "ab" * 32 for name in chain.released})
    adapter = with_chain(honest.recorded, other.to_json())
    with pytest.raises(ReplayRefused, match=r"does not end in adapter\.safetensors"):
        read_recorded(adapter)


def test_another_stack_is_told_and_equal_bits_still_agree(honest: Trained) -> None:
    made = honest.replay((1,), changed_stack(honest.recorded, processor="Another 9000", driver="1.2"))
    assert (made.verdict, made.exit_code) == ("agrees", 0)
    assert [(each.name, each.recorded) for each in made.stack] == [("driver", "1.2"), ("processor", "Another 9000")]
    assert made.stack[0].here is None


def test_other_bits_on_another_stack_are_no_verdict(honest: Trained) -> None:
    recorded = changed_stack(forged(honest.recorded, 1), processor="Another 9000")
    made = honest.replay((1,), recorded)
    assert (made.verdict, made.exit_code) == ("not comparable", 3)


def test_other_bits_of_a_training_that_does_not_repeat_are_no_verdict(
    honest: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "is_repeatable", lambda *_: False)
    made = honest.replay((1,), forged(honest.recorded, 1))
    assert (made.exit_code, made.repeatable, made.stack) == (3, False, ())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has one")
def test_a_device_that_is_not_here_is_no_verdict(honest: Trained) -> None:
    with pytest.raises(ReplayUnavailable, match="ran on cuda") as refusal:
        honest.replay((1,), replace(honest.recorded, device="cuda"))
    assert refusal.value.exit_code == 3


@pytest.mark.parametrize("harm", ["other step", "cut", "no moments", "nudged"])
def test_a_snapshot_that_is_not_the_signed_state_is_refused(honest: Trained, tmp_path: Path, harm: str) -> None:
    kept = shutil.copytree(honest.snapshots, tmp_path / "kept")
    file = kept / "step-00000004.safetensors"
    tensors = load_file(file)
    if harm == "other step":
        shutil.copy(kept / "step-00000002.safetensors", file)
    elif harm == "cut":
        file.write_bytes(file.read_bytes()[:-3])
    elif harm == "no moments":
        save_file({name: tensor for name, tensor in tensors.items() if name.startswith("adapter/")}, file)
    else:
        next(iter(tensors.values())).reshape(-1)[0] += 1e-6
        save_file(tensors, file)
    with pytest.raises(ReplayRefused, match=r"step-00000004\.safetensors is not the state"):
        honest.replay((2,), snapshots=kept)


def test_other_inputs_are_refused(honest: Trained, v_base: BaseModel, issuer: Issuer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the base"):
        replay(honest.recorded, honest.manifest, v_base, (0,))
    source = tmp_path / "source"
    source.mkdir()
    assert honest.manifest.root is not None
    shutil.copy(honest.manifest.root / "dataset" / "data" / "0.png", source / "0.png")
    (source / "0.txt").write_text("a square")
    other = sign_dataset(source, tmp_path / "other", issuer=issuer, licence="CC0-1.0", holder="Someone")
    with pytest.raises(UsageError, match="not the dataset"):
        replay(honest.recorded, other, honest.base, (0,))


def test_a_replay_stops_at_ctrl_c(honest: Trained) -> None:
    with pytest.raises(TrainingInterrupted, match="stopped after 3 of 9 steps") as stop:
        honest.replay(progress=stop_at(3, "replaying"))
    assert stop.value.exit_code == 130


def test_an_adapter_without_a_chain_cannot_be_replayed(honest: Trained) -> None:
    predicate = deepcopy(honest.recorded.adapter.predicate)
    predicate["runDetails"]["byproducts"].pop()
    with pytest.raises(ReplayUnavailable, match="no chain to replay") as refusal:
        read_recorded(replace(honest.recorded.adapter, predicate=predicate))
    assert refusal.value.exit_code == 3


def test_settings_of_another_version_are_no_verdict(honest: Trained) -> None:
    from provenance.canonical import canonical_json, sha256_hex

    predicate = deepcopy(honest.recorded.adapter.predicate)
    external = predicate["buildDefinition"]["externalParameters"]
    external["config"]["swing"] = 1
    adapter = replace(honest.recorded.adapter, predicate=predicate)
    with pytest.raises(FormatError, match="other settings"):
        read_recorded(adapter)
    external["config_digest"] = sha256_hex(canonical_json(external["config"]))
    with pytest.raises(ReplayUnavailable, match="another version"):
        read_recorded(adapter)


def test_the_chain_is_read_as_it_was_written(honest: Trained) -> None:
    chain = honest.recorded.chain
    assert [link.step for link in chain.links] == [0, 2, 4, 6, 8, 9]
    assert read_recorded(with_chain(honest.recorded, json.loads(json.dumps(chain.to_json())))).chain == chain


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [place for key, each in value.items() if key != "stack" for place in _places(each, (*path, key))]
    if isinstance(value, list):
        return [path, *(place for index, each in enumerate(value) for place in _places(each, (*path, index)))]
    return [path]


@given(st.data())
def test_no_single_edit_of_a_chain_is_believed(honest: Trained, data: st.DataObject) -> None:
    raw = honest.recorded.chain.to_json()
    path = data.draw(st.sampled_from(_places(raw)))
    raw = json.loads(json.dumps(raw))
    holder = raw
    for key in path[:-1]:
        holder = holder[key]
    old = holder[path[-1]]
    if isinstance(old, list):
        edit = data.draw(st.sampled_from(["drop", "repeat", "reverse", "nothing"]))
        new = {"drop": old[:-1], "repeat": [*old, old[-1]], "reverse": old[::-1], "nothing": None}[edit]
    else:
        junk = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("0" * 64) | st.just([])
        new = data.draw(junk)
    if new == old and type(new) is type(old):
        return
    holder[path[-1]] = new
    with pytest.raises((FormatError, ReplayRefused)):
        read_recorded(with_chain(honest.recorded, raw))


def test_a_run_killed_at_any_step_ends_in_the_same_chain(
    honest: Trained, trainer: Callable[..., Trained], tmp_path: Path
) -> None:
    class Killed(BaseException):
        """As abrupt as a kill can be inside one process: nothing is saved."""

    draw = random.Random(4)
    for index, step in enumerate(draw.sample(range(4, CONFIG.steps + 1), 3)):
        config = replace(CONFIG, checkpoint_every=3)

        def end(progress: Progress, step: int = step) -> None:
            if progress.stage == "training" and progress.done == step:
                raise Killed

        folder = tmp_path / str(index)
        with pytest.raises(Killed):
            trainer(folder, config, progress=end)
        with pytest.raises(TrainingInterrupted):
            trainer(folder, config, progress=stop_at(min(step + 1, CONFIG.steps)), resume=True)
        resumed = trainer(folder, config, resume=True).recorded
        # Checkpoints at other steps are another setting, so only the first link's origin may differ.
        assert [link.parts for link in resumed.chain.links] == [link.parts for link in honest.recorded.chain.links]
        assert resumed.chain.released == honest.recorded.chain.released
        assert resumed.chain.sessions == honest.recorded.chain.sessions


def test_a_training_resumed_on_another_stack_says_from_which_step_on(
    trainer: Callable[..., Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import lora

    usual = lora.stack_of
    with monkeypatch.context() as patch:
        patch.setattr(lora, "stack_of", lambda *a: {**usual(*a), "processor": "Another 9000"})
        with pytest.raises(TrainingInterrupted):
            trainer(tmp_path, progress=stop_at(5))
    resumed = trainer(tmp_path, resume=True)
    chain = resumed.recorded.chain
    assert [session.first for session in chain.sessions] == [0, 5]
    assert [len(chain.on_which(segment)) for segment in ALL] == [1, 1, 2, 1, 1]
    assert resumed.replay(recorded=forged(resumed.recorded, 2)).verdict == "not comparable"
    assert resumed.replay(recorded=forged(resumed.recorded, 3)).verdict == "differs"


def test_a_new_training_keeps_no_snapshot_of_an_older_one(trainer: Callable[..., Trained], tmp_path: Path) -> None:
    stale = tmp_path / "squares.work" / SNAPSHOTS / "step-00000099.safetensors"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    made = trainer(tmp_path, replace(CONFIG, steps=4))
    assert sorted(path.name for path in made.snapshots.iterdir()) == [
        "step-00000002.safetensors", "step-00000004.safetensors"
    ]  # fmt: skip


def test_deterministic_mode_is_one_thread_and_leaves_the_switches_as_they_were() -> None:
    torch.set_num_threads(2)
    with setup.torch_settings(TrainConfig(deterministic=True), "cpu") as threads:
        assert (threads, torch.get_num_threads()) == (1, 1)
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 2
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(ConfigError, match="`threads` must be 1"):
        TrainConfig(deterministic=True, threads=2)


def test_a_layer_without_a_deterministic_way_is_a_refusal_that_says_what_to_set() -> None:
    with (
        pytest.raises(TrainingError, match="deterministic mode") as refusal,
        setup.torch_settings(TrainConfig(deterministic=True), "cpu"),
    ):
        # One of the few operations that torch has no deterministic way for on a CPU.
        torch.zeros(4).put_(torch.tensor([1, 1]), torch.ones(2), accumulate=False)
    assert "deterministic = false" in str(refusal.value)


@given(total=st.integers(1, 5000), share=st.floats(0.1, 100), seed=st.integers(0, 99))
def test_a_share_of_segments_is_chosen_without_repetition(total: int, share: float, seed: int) -> None:
    chosen = choose_segments(total, f"{share}%", random.Random(seed))
    assert len(set(chosen)) == len(chosen) == max(1, round(total * share / 100))
    assert list(chosen) == sorted(chosen)
    assert 0 <= chosen[0] <= chosen[-1] < total


def test_without_a_seed_the_choice_is_another_each_time() -> None:
    assert len({choose_segments(5000, "10") for _ in range(4)}) == 4
    assert choose_segments(3, "10") == (0, 1, 2)


@pytest.mark.parametrize("wanted", ["0", "0%", "-1", "101%", "nan%", "inf%", "inf", "1.5", "half", "%", ""])
def test_what_is_no_number_of_segments_is_refused(wanted: str) -> None:
    with pytest.raises(UsageError, match="number of segments"):
        choose_segments(10, wanted)


@given(st.data())
def test_every_chosen_segment_is_executed_from_a_known_state(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 30))
    chosen = data.draw(st.sets(st.integers(0, total - 1), min_size=1))
    snapshots = data.draw(st.sets(st.integers(1, total)))
    runs = plan_runs(chosen, snapshots)
    executed = [segment for run in runs for segment in run]
    assert chosen <= set(executed)
    assert executed == sorted(set(executed))
    assert all(run.start in snapshots | {0} for run in runs)
    assert all(run.stop - 1 in chosen for run in runs)
