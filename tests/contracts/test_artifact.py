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


def test_contract_has_no_administrator() -> None:
    names = set(load_artifact().functions)
    assert not names & {"owner", "pause", "upgradeTo", "upgradeToAndCall", "setAdmin", "grantRole", "transferOwnership"}


def test_structs_that_are_read_on_every_use_fill_few_slots() -> None:
    layout = {each["label"]: each["type"] for each in RAW["storageLayout"]}
    assert layout["_licences"] == "mapping(uint256 => mapping(address => struct Licences.Licence))"
    assert [each["slot"] for each in RAW["storageLayout"]] == [str(slot) for slot in range(len(RAW["storageLayout"]))]


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
