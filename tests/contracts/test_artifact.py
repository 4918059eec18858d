"""The committed artefact is what the sources compile to, and its selectors are real keccak."""

from __future__ import annotations

import hashlib
import json

import pytest
from eth_utils.crypto import keccak

from contracts.artifact import ARTIFACT, FOLDER, load_artifact, signature
from contracts.compile import can_compile, compile_contract, main

RAW = json.loads(ARTIFACT.read_bytes())


def test_every_selector_and_topic_is_the_keccak_of_its_signature() -> None:
    artifact = load_artifact()
    tables = {"function": artifact.functions, "event": artifact.events, "error": artifact.errors}
    for item in RAW["abi"]:
        if item["type"] not in tables:
            continue
        digest = keccak(text=signature(item)).hex()
        table = tables[item["type"]]
        entry = table.get(signature(item)) or table[item["name"]]
        assert entry.selector == (digest if item["type"] == "event" else digest[:8]), signature(item)


def test_code_digest_is_the_sha256_of_the_deployed_code() -> None:
    artifact = load_artifact()
    assert artifact.code_digest == hashlib.sha256(bytes.fromhex(artifact.runtime)).hexdigest()
    assert artifact.runtime in artifact.bytecode


def test_deployed_code_is_within_the_limit_of_eip_170() -> None:
    assert len(load_artifact().runtime) // 2 <= 24_576


def test_artifact_names_the_sources_as_they_are() -> None:
    ours = {name: digest for name, digest in RAW["sources"].items() if name.startswith("src/")}
    assert ours == {
        f"src/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in (FOLDER / "src").glob("*.sol")
    }


def test_contract_cannot_be_replaced_and_gives_no_role_to_move_what_is_others() -> None:
    names = set(load_artifact().functions)
    assert not names & {"upgradeTo", "upgradeToAndCall", "setAdmin", "grantRole", "seize", "setOwner", "rescue"}
    roles = {"owner", "pendingOwner", "transferOwnership", "acceptOwnership", "renounceOwnership", "safety"}
    powers = {"appointSafety", "pause", "unpause", "takeDown", "reinstate"}
    assert roles | powers <= names


def test_what_is_read_and_written_on_every_use_fills_one_slot_each() -> None:
    outputs = {item["name"]: item["outputs"] for item in RAW["abi"] if item["type"] == "function"}
    for view in ("licenceOf", "streamOf", "batchOf"):
        kinds = [each["type"] for each in outputs[view][0]["components"]]
        bits = [
            8 * int(kind[5:]) if kind.startswith("bytes") else int(kind.removeprefix("uint") or 0)
            for kind in kinds
            if kind != "address"
        ]
        assert sum(bits) + 160 * kinds.count("address") == 256, view
    layout = {each["label"]: each["type"] for each in RAW["storageLayout"]}
    assert layout["_licences"] == "mapping(uint256 => mapping(address => uint256))"


@pytest.mark.node
def test_sources_compile_to_the_committed_artifact() -> None:
    if not can_compile():
        pytest.skip("Node, solc or OpenZeppelin is missing: run `npm install --no-save` in contracts/")
    assert compile_contract() == ARTIFACT.read_bytes()


def test_unknown_argument_of_the_compiler_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--fast"]) == 2
    assert "python -m contracts.compile" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["package.json", "package-lock.json", ".npmrc"])
def test_npm_files_name_no_registry(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert 'resolved"' not in text
    assert "registry." not in text
