"""The gates of `make test-contracts`: each lets the right thing through and stops the wrong one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from contracts.artifact import ARTIFACT, FOLDER
from contracts.tools import artefact, coverage, findings
from contracts.tools.findings import Finding

LCOV = """TN:
SF:src/A.sol
DA:3,5
DA:4,0
BRDA:3,0,0,1
BRDA:3,0,1,-
end_of_record
TN:
SF:test/A.t.sol
DA:9,0
end_of_record
"""

EXPLAINED = """
[[finding]]
check = "timestamp"
where = ["A.f"]
why = "A reason that is long enough to be one."
"""


def report(*found: tuple[str, str, str]) -> str:
    """A report of Slither with one finding for each (check, contract, function)."""
    detectors = [{"check": check, "elements": [function(contract, name)]} for check, contract, name in found]
    return json.dumps({"success": True, "error": None, "results": {"detectors": detectors}})


def function(contract: str, name: str) -> dict[str, Any]:
    parent = {"type": "contract", "name": contract}
    return {"type": "function", "name": name, "type_specific_fields": {"parent": parent}}


def test_coverage_names_every_line_and_branch_that_no_test_reached() -> None:
    missed, figures = coverage.judge(coverage.read_lcov(LCOV), ["src/A.sol"])
    assert missed == ["contracts/src/A.sol:3: branch 0.1", "contracts/src/A.sol:4: line"]
    assert figures == "contracts/src: 1/2 (50.00 %) of lines, 1/2 (50.00 %) of branches"


def test_coverage_is_whole_when_every_place_was_reached() -> None:
    text = LCOV.replace("DA:4,0", "DA:4,1").replace("BRDA:3,0,1,-", "BRDA:3,0,1,2")
    assert coverage.judge(coverage.read_lcov(text), ["src/A.sol"])[0] == []


def test_coverage_counts_a_place_that_one_of_two_builds_reached() -> None:
    again = LCOV.replace("DA:4,0", "DA:4,7")
    assert coverage.read_lcov(LCOV + again)["src/A.sol"].lines == {3: 5, 4: 7}


def test_coverage_refuses_a_report_that_lacks_a_source() -> None:
    with pytest.raises(coverage.CoverageError, match=r"src/B\.sol"):
        coverage.judge(coverage.read_lcov(LCOV), ["src/A.sol", "src/B.sol"])


@pytest.mark.parametrize("text", ["", "SF:src/A.sol\nend_of_record\n", "SF:src/A.sol\nDA:1,1\n"])
def test_coverage_refuses_a_report_without_figures(text: str) -> None:
    with pytest.raises(coverage.CoverageError):
        coverage.judge(coverage.read_lcov(text), [])


def test_coverage_refuses_a_figure_of_no_file() -> None:
    with pytest.raises(coverage.CoverageError, match="DA:1,1"):
        coverage.read_lcov("DA:1,1\n")


def test_every_source_with_code_must_be_in_the_report() -> None:
    measured = coverage.measured_sources()
    assert {"src/Licences.sol", "src/Treasury.sol", "src/Streams.sol", "src/Signatures.sol"} <= set(measured)


def test_coverage_exits_by_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lcov = tmp_path / "lcov.info"
    lcov.write_text(LCOV)
    assert coverage.main([str(lcov)]) == 3
    assert coverage.main([str(tmp_path / "absent")]) == 3
    assert coverage.main([]) == 2
    everything = "".join(f"SF:{name}\nDA:1,1\nBRDA:1,0,0,1\n" for name in coverage.measured_sources())
    lcov.write_text(everything)
    assert coverage.main([str(lcov)]) == 0
    lcov.write_text(everything + "DA:2,0\n")
    assert coverage.main([str(lcov)]) == 1
    assert "not covered: contracts/src/" in capsys.readouterr().out


def test_a_finding_that_is_explained_passes() -> None:
    found = findings.read_report(report(("timestamp", "A", "f")))
    assert findings.compare(found, findings.read_explanations(EXPLAINED)) == []


def test_a_finding_nobody_explained_is_named() -> None:
    found = findings.read_report(report(("timestamp", "A", "f"), ("reentrancy-eth", "A", "g")))
    assert findings.compare(found, findings.read_explanations(EXPLAINED)) == ["unexplained: reentrancy-eth in A.g"]


def test_one_explanation_covers_one_finding() -> None:
    found = findings.read_report(report(("timestamp", "A", "f"), ("timestamp", "A", "f")))
    assert findings.compare(found, findings.read_explanations(EXPLAINED)) == ["unexplained: timestamp in A.f"]


def test_an_explanation_of_nothing_is_named() -> None:
    found = findings.read_report(report())
    expected = ["explained, but not found: timestamp in A.f"]
    assert findings.compare(found, findings.read_explanations(EXPLAINED)) == expected


@pytest.mark.parametrize(
    "text", [EXPLAINED.replace("A reason that is long enough to be one.", "fine"), EXPLAINED + "count = 2\n"]
)
def test_an_explanation_without_a_reason_or_with_unknown_keys_is_refused(text: str) -> None:
    with pytest.raises(findings.FindingsError):
        findings.read_explanations(text)


def test_a_finding_in_a_line_is_placed_in_its_function() -> None:
    node = {"type": "node", "name": "x == 0", "type_specific_fields": {"parent": function("A", "f")}}
    text = json.dumps({"success": True, "error": None, "results": {"detectors": [{"check": "c", "elements": [node]}]}})
    assert list(findings.read_report(text)) == [Finding("c", "A.f")]


def test_a_failed_run_of_slither_is_no_clean_report(tmp_path: Path) -> None:
    failed = tmp_path / "slither.json"
    failed.write_text(json.dumps({"success": False, "error": "boom", "results": {}}))
    assert findings.main([str(failed)]) == 3
    assert findings.main([str(tmp_path / "absent")]) == 3
    failed.write_text(report(("timestamp", "A", "f")))
    assert findings.main([str(failed)]) == 1


def test_the_committed_explanations_can_be_read() -> None:
    assert findings.read_explanations(findings.EXPLANATIONS.read_text(encoding="utf-8")).total() > 0


def test_code_that_is_not_the_artefacts_is_named(tmp_path: Path) -> None:
    committed = json.loads(ARTIFACT.read_bytes())
    built = tmp_path / "ProvLedger.sol" / "ProvLedger.json"
    built.parent.mkdir()
    forged = {"bytecode": {"object": "0x" + committed["bytecode"]}, "deployedBytecode": {"object": "0x00"}}
    built.write_text(json.dumps(forged))
    assert artefact.differences(tmp_path) == ["runtime"]
    assert artefact.main([str(tmp_path)]) == 1
    forged["deployedBytecode"]["object"] = "0x" + committed["runtime"]
    built.write_text(json.dumps(forged))
    assert artefact.main([str(tmp_path)]) == 0


@pytest.mark.node
@pytest.mark.skipif(
    not list((FOLDER / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge")) or not shutil.which("node"),
    reason="forge or Node is missing: run `npm install --no-save` in contracts/",
)
@pytest.mark.parametrize(("claim", "code"), [("true", 0), ("false", 1)])
def test_forge_ends_as_its_tests_do(tmp_path: Path, claim: str, code: int) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "Claim.t.sol").write_text(
        "// SPDX-License-Identifier: MIT\npragma solidity 0.8.37;\n"
        f"contract Claim {{ function test_claim() public pure {{ assert({claim}); }} }}\n"
    )
    (tmp_path / "foundry.toml").write_text(
        f'[profile.default]\nsolc = "{FOLDER / "tools" / "solc"}"\noffline = true\nevm_version = "prague"\n'
    )
    done = subprocess.run(
        [FOLDER / "tools" / "forge", "test"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert f"{1 - code} tests passed, {code} failed" in done.stdout
