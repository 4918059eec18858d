"""What an adapter's attestation says of its training, read strictly: settings, stack and replay chain."""

from __future__ import annotations

from dataclasses import dataclass

from provenance.adapter import STATEMENT, WEIGHTS, AdapterManifest
from provenance.byproducts import byproducts
from provenance.canonical import Json, canonical_json, sha256_hex
from provenance.errors import FormatError
from provenance.merged.parents import is_merge
from provenance.trigger import EMBEDDINGS, is_learned
from training.config import TrainConfig
from training.errors import ConfigError, ReplayRefused, ReplayUnavailable
from training.release import KOHYA_NAME
from training.replay.chain import NAME, Binding, Chain, tensors_body
from training.watch import NAME as VALIDATION
from training.watch import Watched

DEVICES = ("cpu", "cuda", "mps")
MAX_THREADS = 1024


@dataclass(frozen=True)
class Recorded:
    """A training as its verified release tells it; device and threads are those of its last session."""

    adapter: AdapterManifest
    config: TrainConfig
    chain: Chain
    device: str
    threads: int
    watched: Watched | None


def read_recorded(adapter: AdapterManifest) -> Recorded:
    """Reads the chain and checks every link, and that it ends in the files of the release.

    Raises ReplayUnavailable when there is no chain, FormatError or ReplayRefused when it does not
    hold.
    """
    if is_merge(adapter.predicate):
        raise ReplayUnavailable(
            "the adapter was merged from others: there is no training to replay, but the merge can be computed again",
            fix="prov model merge --check RELEASE PARENT… with the releases of its parents; replay those by themselves",
        )
    chains = [entry for entry in byproducts(adapter.predicate, NAME) if entry["name"] == NAME]
    if not chains:
        raise ReplayUnavailable(
            "the adapter has no chain to replay",
            expected=f'a byproduct "{NAME}" in {STATEMENT}',
            fix="adapters of older versions and of private trainings have none: they verify, and cannot be replayed",
        )
    if len(chains) > 1:
        raise FormatError(f"{STATEMENT} has several replay chains", expected="one", found=str(len(chains)))
    config = _config(adapter.predicate)
    binding = Binding(adapter.base_digest, config.digest, adapter.dataset_digest)
    what = f"the replay chain in {STATEMENT}"
    watched = _watched(adapter.predicate, config)
    steps = _steps(adapter.predicate, config, watched)
    chain = Chain.from_json(chains[0].get("annotations"), binding, steps, what)
    if chain.every != config.segment_steps:
        raise FormatError(f"{what} has other segments than its settings", expected=f"{config.segment_steps} steps each")
    _check_released(adapter, config, chain)
    stack = chain.sessions[-1].stack
    device, threads = stack.get("device", ""), stack.get("threads", "")
    if device not in DEVICES or not threads.isascii() or not threads.isdigit() or not 0 < int(threads) <= MAX_THREADS:
        raise FormatError(f"{what} does not say on what it ran", expected="device and threads", found=str(stack)[:100])
    return Recorded(adapter, config, chain, device, int(threads), watched)


def _config(predicate: Json) -> TrainConfig:
    match predicate:
        case {"buildDefinition": {"externalParameters": {"config": dict(raw), "config_digest": str(digest)}}}:
            pass
        case _:
            raise FormatError(f"{STATEMENT} does not say its settings", expected="externalParameters.config")
    if sha256_hex(canonical_json(raw)) != digest:
        raise FormatError(f"{STATEMENT} names the digest of other settings", expected=digest)
    try:
        config = TrainConfig.from_dict(raw, STATEMENT)
    except ConfigError as error:
        raise _other_version("; ".join(error.faults)) from error
    if config.digest != digest:
        raise _other_version("settings that did not exist then")
    return config


def _watched(predicate: Json, config: TrainConfig) -> Watched | None:
    stated = [entry.get("annotations") for entry in byproducts(predicate, VALIDATION) if entry["name"] == VALIDATION]
    if len(stated) != (1 if config.validation_share else 0):
        raise FormatError(
            f"{STATEMENT} does not say how its training was validated",
            expected="one byproduct `validation` where pictures are held out, and none elsewhere",
            found=str(len(stated)),
        )
    return Watched.from_attestation(stated[0], config, STATEMENT) if stated else None


def _steps(predicate: Json, config: TrainConfig, watched: Watched | None) -> int:
    """After how many steps the released weights were: with patience, after those of the least validation loss."""
    best = watched.watch.best if watched is not None else None
    steps = best[0] if config.patience and best is not None else config.steps
    match predicate:
        case {"buildDefinition": {"internalParameters": dict(inner)}} if inner.get("steps", config.steps) == steps:
            return steps
        case _:
            raise FormatError(f"{STATEMENT} does not say the steps that its settings lead to", expected=str(steps))


def _other_version(found: str) -> ReplayUnavailable:
    return ReplayUnavailable(
        "the adapter was trained by another version of prov, whose settings are not those of this one",
        found=found,
        fix="replay it with the version that the attestation names",
    )


def _check_released(adapter: AdapterManifest, config: TrainConfig, chain: Chain) -> None:
    expected = {WEIGHTS} | ({KOHYA_NAME} if config.kohya else set())
    expected |= {EMBEDDINGS} if is_learned(config.trigger) else set()
    if set(chain.released) != expected:
        raise FormatError("the replay chain names other files than were released", expected=", ".join(sorted(expected)))
    for name, digest in chain.released.items():
        found = sha256_hex(tensors_body(adapter.read(name)))
        if found != digest:
            raise ReplayRefused(
                f"the replay chain does not end in {name}", expected=f"tensors of SHA-256 {digest}", found=found
            )
