"""The C2PA Soft Binding Resolution API, over real HTTP on this machine and through the application."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
from pathlib import Path
from urllib.parse import quote

import c2pa
import pytest
from starlette.testclient import TestClient

from provenance.errors import UsageError
from provenance.http.serving import listen
from provenance.resolution.repository import open_repository
from safety.watermark import Payload
from tests.web.asking import (
    ALGORITHM,
    active_label,
    ask,
    binding_query,
    by_content,
    in_base64,
    matches,
    name_of,
    problem,
)
from tests.web.resolution_world import NAMES, ResolutionWorld, serving
from web.resolution.desk import ResolutionDesk
from web.resolution.service import create_app


@pytest.mark.parametrize("image", [*NAMES, "late.png"])
def test_a_watermark_leads_to_the_manifest_byte_for_byte(url: str, world: ResolutionWorld, image: str) -> None:
    name = name_of(url, world, image)
    assert name.endswith(f":prov-{world.payload(image)}")
    status, body, headers = ask(url, "GET", f"/manifests/{quote(name, safe='')}")
    assert (status, headers["content-type"]) == (200, "application/c2pa")
    assert body == world.manifests[image]
    assert active_label(body) == name
    assert body in world.images[image].read_bytes()


def test_the_c2pa_reader_trusts_picture_and_fetched_manifest_together(url: str, world: ResolutionWorld) -> None:
    name = name_of(url, world, "fish.png")
    _, manifest, _ = ask(url, "GET", f"/manifests/{name}")
    stripped = io.BytesIO(world.stripped("fish.png", "JPEG", quality=70))
    settings = {"trust": {"trust_anchors": world.root.read_text()}, "verify": {"verify_trust": True}}
    with (
        c2pa.Context(c2pa.Settings.from_dict(settings)) as context,
        c2pa.Reader("image/jpeg", stripped, manifest, context=context) as reader,
    ):
        results = json.loads(reader.json())["validation_results"]["activeManifest"]
    codes = {entry["code"] for entry in results["success"]}
    assert {"signingCredential.trusted", "claimSignature.validated"} <= codes
    assert {entry["code"] for entry in results["failure"]} == {"assertion.dataHash.mismatch"}


def test_the_active_manifest_alone_is_a_store_the_reader_accepts(url: str, world: ResolutionWorld) -> None:
    name = name_of(url, world, "fish.png")
    _, alone, _ = ask(url, "GET", f"/manifests/{name}?returnActiveManifest=true")
    assert active_label(alone) == name
    _, whole, _ = ask(url, "GET", f"/manifests/{name}?returnActiveManifest=false")
    assert whole == world.manifests["fish.png"]


def test_a_value_may_be_posted_and_may_stand_as_in_the_assertion(url: str, world: ResolutionWorld) -> None:
    name = name_of(url, world, "fish.png")
    for value in (in_base64(world.payload("fish.png")), world.payload("fish.png")):
        body = json.dumps({"alg": ALGORITHM, "value": value}).encode()
        found = matches(url, "/matches/byBinding", method="POST", body=body, Content_Type="application/json")
        assert found == [{"manifestId": name}]
        assert matches(url, binding_query(value, maxResults="1")) == [{"manifestId": name}]


def test_a_manifest_of_before_is_called_by_its_record(url: str, world: ResolutionWorld) -> None:
    name = name_of(url, world, "old.png")
    assert name == world.records["old.png"].id
    _, body, _ = ask(url, "GET", f"/manifests/{quote(name, safe='')}")
    assert body == world.manifests["old.png"]


def test_what_is_not_on_record_gives_no_matches(url: str, world: ResolutionWorld) -> None:
    record = world.records["fish.png"]
    beyond = Payload(record.namespace, record.stream, 4000).hex
    void = Payload(record.namespace, record.stream, world.void).hex
    no_stream = Payload(record.namespace, record.stream + 7, 0).hex
    elsewhere = Payload(record.namespace ^ 1, record.stream, record.serial).hex
    for payload in (beyond, void, no_stream, elsewhere):
        assert matches(url, binding_query(in_base64(payload))) == []
    other = in_base64(record.payload)
    assert matches(url, binding_query(other, "org.prov.another.1")) == []
    assert matches(url, binding_query("MioxMDEw", "com.adobe.trustmark.P")) == []


@pytest.mark.parametrize(
    "path",
    [
        "/matches/byBinding",
        f"/matches/byBinding?alg={ALGORITHM}",
        "/matches/byBinding?value=aaaa",
        f"/matches/byBinding?alg={ALGORITHM}&alg={ALGORITHM}&value=aaaa",
        binding_query("not base64!"),
        binding_query("ü"),
        binding_query(in_base64("87")),
        binding_query(in_base64("XY" * 8)),
        binding_query(in_base64("00" * 8), ""),
        binding_query(in_base64("00" * 8), "no such name"),
        binding_query(in_base64("00" * 8), maxResults="0"),
        binding_query(in_base64("00" * 8), maxResults="many"),
        "/manifests/nothing",
        "/manifests/urn:c2pa:%00",
        f"/manifests/{'urn:c2pa:' * 30}",
        "/manifests/urn:c2pa:1?returnActiveManifest=maybe",
    ],
)
def test_a_malformed_question_is_a_bad_request(url: str, path: str) -> None:
    assert problem(ask(url, "GET", path)) == (400, "malformed-request")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"alg": "a.b", "value": 1}', b"\xff", b"[" * 5000, b"{" * 5000])
def test_a_malformed_query_is_a_bad_request(url: str, body: bytes) -> None:
    answer = ask(url, "POST", "/matches/byBinding", body, Content_Type="application/json")
    assert problem(answer) == (400, "malformed-request")


def test_refusals_have_the_status_the_api_gives_them(url: str) -> None:
    query = b'{"alg": "a.b", "value": "aaaa"}'
    assert problem(ask(url, "GET", binding_query("a" * 3000))) == (414, "query-too-long")
    assert problem(ask(url, "POST", "/matches/byBinding", query)) == (415, "media-type-unsupported")
    large = ask(url, "POST", "/matches/byBinding", b" " * 20_000, Content_Type="application/json")
    assert problem(large) == (413, "too-large")
    assert problem(ask(url, "PUT", "/matches/byBinding")) == (405, "method-not-allowed")
    assert problem(ask(url, "GET", "/docs")) == (404, "not-found")
    assert problem(ask(url, "GET", "/manifests/a/b")) == (404, "not-found")


def test_unknown_manifests_are_not_found(url: str, world: ResolutionWorld) -> None:
    record = world.records["fish.png"]
    wrong_uuid = f"urn:c2pa:00000000-0000-4000-8000-000000000000:prov-{record.payload}"
    elsewhere = f"urn:prov:image:{record.chain_id + 1}:{record.contract}:{record.stream}:{record.serial}"
    far = f"urn:prov:image:{record.chain_id}:{record.contract}:999999999:0"
    foreign = (
        "urn:c2pa:F9168C5E-CEB2-4FAA-B6BF-329BF39FA1E4:acme:2_1",
        "urn:uuid:F9168C5E-CEB2-4FAA-B6BF-329BF39FA1E4",
    )
    for name in (wrong_uuid, elsewhere, far, *foreign):
        assert problem(ask(url, "GET", f"/manifests/{quote(name, safe='')}")) == (404, "manifest-unknown")


def test_supported_algorithms_are_listed(url: str) -> None:
    status, body, _ = ask(url, "GET", "/services/supportedAlgorithms")
    answer = json.loads(body)
    assert status == 200
    assert set(answer) == {"watermarks", "fingerprints"}
    assert {"alg": ALGORITHM} in answer["watermarks"]
    assert all(set(each) == {"alg"} for each in answer["watermarks"])


def test_whoever_asks_too_often_is_told_to_wait(world: ResolutionWorld) -> None:
    with serving(world.maker, burst=3) as url:
        for _ in range(3):
            assert ask(url, "GET", "/services/supportedAlgorithms")[0] == 200
        answer = ask(url, "GET", "/services/supportedAlgorithms")
        assert problem(answer) == (429, "rate-limited")
        assert 1 <= int(answer[2]["Retry-After"]) <= 60


def test_a_verifier_answers_from_ledger_and_store_alone(world: ResolutionWorld) -> None:
    with TestClient(create_app(ResolutionDesk(open_repository(world.verifier)))) as client:
        for image in (*NAMES, "old.png"):
            query = {"alg": ALGORITHM, "value": in_base64(world.payload(image))}
            (match,) = client.get("/matches/byBinding", params=query).json()["matches"]
            answer = client.get(f"/manifests/{match['manifestId']}")
            assert answer.content == world.manifests[image]
        late = {"alg": ALGORITHM, "value": in_base64(world.payload("late.png"))}
        assert client.get("/matches/byBinding", params=late).json() == {"matches": []}
    assert not (world.verifier.path / "journal.sqlite").exists()


def block_with(folder: Path, data: bytes) -> Path:
    return next(path for path in (folder / "blocks").rglob("*") if path.is_file() and data in path.read_bytes())


def test_a_changed_block_is_never_handed_out(own_world: ResolutionWorld, caplog: pytest.LogCaptureFixture) -> None:
    with TestClient(create_app(ResolutionDesk(open_repository(own_world.verifier)))) as client:
        query = {"alg": ALGORITHM, "value": in_base64(own_world.payload("fish.png"))}
        (match,) = client.get("/matches/byBinding", params=query).json()["matches"]
        block = block_with(own_world.verifier.path, own_world.manifests["fish.png"])
        data = bytearray(block.read_bytes())
        data[len(data) // 2] ^= 1
        block.write_bytes(data)
        for answer in (client.get(f"/manifests/{match['manifestId']}"), client.get("/matches/byBinding", params=query)):
            assert answer.status_code == 500
            assert answer.json()["type"] == "urn:prov:problem:record-damaged"
            assert str(own_world.verifier.path) not in answer.text
        assert "a record is damaged" in caplog.text


def test_a_missing_block_is_no_answer(own_world: ResolutionWorld) -> None:
    block_with(own_world.verifier.path, own_world.manifests["fish.png"]).unlink()
    with TestClient(create_app(ResolutionDesk(open_repository(own_world.verifier)))) as client:
        query = {"alg": ALGORITHM, "value": in_base64(own_world.payload("fish.png"))}
        answer = client.get("/matches/byBinding", params=query)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:prov:problem:records-unavailable")
        assert int(answer.headers["Retry-After"]) > 0


def test_another_manifest_in_the_journal_is_never_handed_out(own_world: ResolutionWorld) -> None:
    record = own_world.records["late.png"]
    connection = sqlite3.connect(own_world.maker.path / "journal.sqlite")
    change = "UPDATE serials SET manifest = ? WHERE stream = ? AND serial = ?"
    connection.execute(change, (own_world.manifests["fish.png"], record.stream, record.serial))
    connection.commit()
    connection.close()
    with TestClient(create_app(ResolutionDesk(open_repository(own_world.maker)))) as client:
        query = {"alg": ALGORITHM, "value": in_base64(record.payload)}
        answer = client.get("/matches/byBinding", params=query)
        assert (answer.status_code, answer.json()["type"]) == (500, "urn:prov:problem:record-damaged")


def test_a_ledger_that_cannot_be_opened_is_no_answer(own_world: ResolutionWorld) -> None:
    repository = open_repository(own_world.verifier)
    (own_world.verifier.path / "chain" / "chain.sqlite").rename(own_world.verifier.path / "gone.sqlite")
    with TestClient(create_app(ResolutionDesk(repository))) as client:
        query = {"alg": ALGORITHM, "value": in_base64("00" * 8)}
        assert client.get("/matches/byBinding", params=query).status_code == 503


def test_nobody_asks_from_another_machine_unless_allowed() -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::"):
        with pytest.raises(UsageError, match="is reached from other machines"):
            listen(host, 0)


def test_no_log_tells_who_asked_for_what(
    url: str, world: ResolutionWorld, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        name = name_of(url, world, "fish.png")
        ask(url, "GET", f"/manifests/{name}")
        by_content(url, world.stripped("fish.png"))
    shown = caplog.text + "".join(capfd.readouterr())
    assert world.payload("fish.png") not in shown
    assert in_base64(world.payload("fish.png")) not in shown
