"""`prov recover`: credentials put back from this home's records or a service, and only where they belong."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from provenance.credentials import read_credentials
from provenance.resolution.client import MAX_MANIFEST
from safety.watermark import embed
from tests.web.resolution_world import (
    NAMES,
    ResolutionWorld,
    build_resolution_world,
    copied,
    encoded,
    picture,
    serving,
)

runner = CliRunner()


def recover(*arguments: object, expect: int = 0) -> Result:
    result = runner.invoke(app, ["recover", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == expect, result.output
    return result


def told(*arguments: object) -> dict[str, Any]:
    return json.loads(recover(*arguments, "--json").stdout)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> ResolutionWorld:
    return build_resolution_world(tmp_path_factory.mktemp("recover"))


@pytest.fixture
def at_verifier(world: ResolutionWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROV_HOME", str(world.verifier.path))


@pytest.fixture
def stripped(world: ResolutionWorld, tmp_path: Path) -> Path:
    """A recompressed picture without its credentials."""
    path = tmp_path / "stripped.jpg"
    path.write_bytes(world.stripped("fish.png", "JPEG", quality=80))
    return path


def without_manifest(data: bytes, manifest: bytes, media: str) -> bytes:
    """The signed file less the manifest store that was put into it."""
    if media == "webp":
        body = data[: data.index(b"C2PA" + len(manifest).to_bytes(4, "little") + manifest)]
        return body[:4] + (len(body) - 8).to_bytes(4, "little") + body[8:]
    before = 8 if media == "png" else 12
    after = 4 if media == "png" else 0
    at = data.index(manifest)
    return data[: at - before] + data[at + len(manifest) + after :]


@pytest.mark.usefixtures("at_verifier")
def test_a_stripped_picture_gets_its_sidecar_back(world: ResolutionWorld, stripped: Path) -> None:
    said = told(stripped)
    assert stripped.with_suffix(".c2pa").read_bytes() == world.manifests["fish.png"]
    assert said["record"] == world.records["fish.png"].id
    assert said["manifest"].endswith(world.payload("fish.png"))
    assert said["credentials"] == "trusted"
    assert said["issuer"] == "Ada Example"
    assert (said["sidecar"], said["embedded"]) == (str(stripped.with_suffix(".c2pa")), None)


@pytest.mark.usefixtures("at_verifier")
@pytest.mark.parametrize("name", NAMES)
def test_the_signed_file_itself_is_made_whole_again(world: ResolutionWorld, tmp_path: Path, name: str) -> None:
    original = world.images[name].read_bytes()
    media = name.rpartition(".")[2]
    lost = tmp_path / f"lost.{media}"
    lost.write_bytes(without_manifest(original, world.manifests[name], media.replace("jpg", "jpeg")))
    assert read_credentials(lost.read_bytes(), world.records[name].image.media_type).state == "absent"
    whole = tmp_path / f"whole.{media}"
    assert told(lost, "--out", whole)["embedded"] == str(whole)
    assert whole.read_bytes() == original
    assert not whole.with_suffix(".c2pa").exists()


@pytest.mark.usefixtures("at_verifier")
def test_credentials_are_not_embedded_in_changed_bytes(world: ResolutionWorld, stripped: Path, tmp_path: Path) -> None:
    out = tmp_path / "whole.jpg"
    result = recover(stripped, "--out", out)
    assert not out.exists()
    assert out.with_suffix(".c2pa").read_bytes() == world.manifests["fish.png"]
    assert "not embedded: the picture's bytes are no longer those that were signed" in result.stderr


def test_what_is_not_anchored_yet_is_recovered_at_its_maker(
    world: ResolutionWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = tmp_path / "late.jpg"
    lost.write_bytes(world.stripped("late.png"))
    monkeypatch.setenv("PROV_HOME", str(world.verifier.path))
    assert "knows no manifest" in recover(lost, expect=1).stderr
    monkeypatch.setenv("PROV_HOME", str(world.maker.path))
    recover(lost)
    assert lost.with_suffix(".c2pa").read_bytes() == world.manifests["late.png"]


@pytest.mark.usefixtures("at_verifier")
def test_a_manifest_of_before_is_recovered_from_its_record(world: ResolutionWorld, tmp_path: Path) -> None:
    lost = tmp_path / "old.jpg"
    lost.write_bytes(world.stripped("old.png"))
    assert told(lost)["manifest"] == world.records["old.png"].id


@pytest.mark.usefixtures("at_verifier")
def test_a_root_the_holder_vouched_for_on_the_ledger_is_enough(
    world: ResolutionWorld, stripped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = copied(world, tmp_path / "own")
    (own.verifier.path / "trust" / "maker.pem").unlink()
    monkeypatch.setenv("PROV_HOME", str(own.verifier.path))
    assert told(stripped)["credentials"] == "trusted"


@pytest.mark.usefixtures("at_verifier")
def test_a_copied_watermark_recovers_nothing(world: ResolutionWorld, tmp_path: Path) -> None:
    forged = tmp_path / "forged.png"
    forged.write_bytes(encoded(embed(picture(90), int(world.payload("fish.png"), 16)), "PNG"))
    refused = recover(forged, expect=1)
    assert "the watermark belongs to another picture" in refused.stderr
    assert not forged.with_suffix(".c2pa").exists()


def test_a_cropped_and_turned_picture_gets_its_sidecar_back(
    world: ResolutionWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, forged = tmp_path / "part.jpg", tmp_path / "forged.png"
    part.write_bytes(world.cropped_and_turned("fish.png"))
    monkeypatch.setenv("PROV_HOME", str(world.verifier.path))
    assert told(part)["record"] == world.records["fish.png"].id
    # By the manifest alone, without a record at hand.
    monkeypatch.setenv("PROV_HOME", str(tmp_path / "nothing"))
    with serving(world.maker) as url:
        assert told(part, "--url", url, "--trust", world.root)["distance"] < 0.08
        forged.write_bytes(encoded(embed(picture(90), int(world.payload("fish.png"), 16))[:200, :200], "PNG"))
        assert "belongs to another picture" in recover(forged, "--url", url, "--trust", world.root, expect=1).stderr


@pytest.mark.usefixtures("at_verifier")
def test_a_picture_without_a_watermark_recovers_nothing(tmp_path: Path) -> None:
    plain = tmp_path / "plain.png"
    plain.write_bytes(encoded(picture(91), "PNG"))
    assert "carries no watermark that can be read" in recover(plain, expect=1).stderr
    plain.write_bytes(b"no picture at all")
    assert "cannot be decoded" in recover(plain, expect=1).stderr


@pytest.mark.usefixtures("at_verifier")
def test_a_picture_of_another_kind_is_no_target(stripped: Path, tmp_path: Path) -> None:
    for name in ("whole.png", "whole.txt", "whole"):
        assert (
            "a .c2pa file, or a picture of the same kind"
            in recover(stripped, "--out", tmp_path / name, expect=2).stderr
        )


def test_a_changed_block_recovers_nothing(
    world: ResolutionWorld, stripped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = copied(world, tmp_path / "own")
    monkeypatch.setenv("PROV_HOME", str(own.verifier.path))
    for block in (own.verifier.path / "blocks").rglob("*"):
        if block.is_file() and world.manifests["fish.png"] in block.read_bytes():
            block.write_bytes(block.read_bytes()[:-1] + b"!")
    recover(stripped, expect=1)
    assert not stripped.with_suffix(".c2pa").exists()


def test_a_service_is_enough_for_whoever_trusts_the_root_and_has_no_home(
    world: ResolutionWorld, stripped: Path
) -> None:
    with serving(world.maker) as url:
        said = told(stripped, "--url", url, "--trust", world.root)
        assert said["source"] == url
        assert stripped.with_suffix(".c2pa").read_bytes() == world.manifests["fish.png"]
        stripped.with_suffix(".c2pa").unlink()
        refused = recover(stripped, "--url", url, expect=1)
        assert "signed by an issuer that is not trusted here" in refused.stderr
        assert world.records["fish.png"].issuer in refused.stderr
        assert not stripped.with_suffix(".c2pa").exists()


def test_a_service_cannot_pass_off_a_copied_watermark(world: ResolutionWorld, tmp_path: Path) -> None:
    forged = tmp_path / "forged.png"
    forged.write_bytes(encoded(embed(picture(90), int(world.payload("fish.png"), 16)), "PNG"))
    old = tmp_path / "old.jpg"
    old.write_bytes(world.stripped("old.png"))
    with serving(world.maker) as url:
        refused = recover(forged, "--url", url, "--trust", world.root, expect=1)
        assert "the watermark belongs to another picture" in refused.stderr
        without = recover(old, "--url", url, "--trust", world.root, expect=3)
        assert "does not say what its picture looks like" in without.stderr


Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def lying(answer: Callable[[str], Answer]) -> Iterator[tuple[str, list[str]]]:
    """A service that answers as it likes; its address, and what it was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Stays quiet."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


def matching(name: str, manifest: bytes) -> Callable[[str], Answer]:
    found = json.dumps({"matches": [{"manifestId": name, "similarityScore": 100}]}).encode()
    return lambda path: (200, {}, found if path.startswith("/matches/") else manifest)


def test_another_pictures_manifest_is_refused(world: ResolutionWorld, stripped: Path) -> None:
    other = world.manifests["late.png"]
    with lying(matching("urn:c2pa:11111111-2222-4333-8444-555555555555", other)) as (url, _):
        refused = recover(stripped, "--url", url, "--trust", world.root, expect=1)
        assert "another manifest was given than the one asked for" in refused.stderr
    with lying(matching(world.records["late.png"].id, other)) as (url, _):
        refused = recover(stripped, "--url", url, "--trust", world.root, expect=1)
        assert "the manifest belongs to another watermark" in refused.stderr


def test_a_changed_manifest_is_refused(world: ResolutionWorld, stripped: Path) -> None:
    changed = world.manifests["fish.png"].replace(b"trainedAlgorithmicMedia", b"digitalCreationAndMore.")
    with lying(matching("urn:prov:image", changed)) as (url, _):
        assert (
            "the manifest does not validate" in recover(stripped, "--url", url, "--trust", world.root, expect=1).stderr
        )


def test_what_is_no_manifest_is_refused(world: ResolutionWorld, stripped: Path) -> None:
    for junk in (b"", b"junk", bytes(1000), b"\x00\x00\x00\x10jumb" + bytes(8)):
        with lying(matching("urn:prov:image", junk)) as (url, _):
            assert "not a C2PA manifest store" in recover(stripped, "--url", url, expect=1).stderr
    assert not stripped.with_suffix(".c2pa").exists()


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"no JSON"),
        (200, {}, b'{"matches": 1}'),
        (200, {}, b'{"matches": [{"manifestId": 1}]}'),
        (200, {}, b'{"matches": [' + b" " * 70_000 + b"]}"),
        (302, {"Location": "http://127.0.0.1:9/"}, b""),
        (404, {}, b""),
        (429, {}, b'{"title": "too many requests"}'),
        (500, {}, b"[" * 60_000),
    ],
)
def test_a_service_that_answers_badly_is_no_answer(stripped: Path, answer: Answer) -> None:
    with lying(lambda _: answer) as (url, asked):
        assert "gives no proper answer" in recover(stripped, "--url", url, expect=3).stderr
        assert len(asked) == 1


def test_a_manifest_without_end_is_no_answer(stripped: Path) -> None:
    with lying(matching("urn:prov:image", bytes(MAX_MANIFEST + 1))) as (url, _):
        assert "an answer of more than" in recover(stripped, "--url", url, expect=3).stderr


def test_no_service_sends_us_elsewhere(world: ResolutionWorld, stripped: Path) -> None:
    found = json.dumps({"matches": [{"manifestId": "urn:prov:image", "endpoint": "http://192.0.2.1/"}]}).encode()
    with lying(lambda _: (200, {}, found)) as (url, asked):
        assert "knows no manifest" in recover(stripped, "--url", url, expect=1).stderr
        assert len(asked) == 1


def test_only_the_watermark_is_told_to_a_service(world: ResolutionWorld, stripped: Path) -> None:
    with lying(lambda _: (200, {}, b'{"matches": []}')) as (url, asked):
        recover(stripped, "--url", url, expect=1)
    (path,) = asked
    assert path.startswith("/matches/byBinding?alg=org.prov.")
    assert len(path) < 200


def test_addresses_that_will_not_do_are_wrong_usage(stripped: Path) -> None:
    for url in ("ftp://127.0.0.1", "127.0.0.1:80", "http://user:word@127.0.0.1", "http://127.0.0.1/?x=1", "http://["):
        assert "is not the address of a resolution service" in recover(stripped, "--url", url, expect=2).stderr
    for url in ("http://192.0.2.1", "https://192.0.2.1"):
        assert "is not on this machine" in recover(stripped, "--url", url, expect=2).stderr
    assert "is not on this machine" in recover(stripped, "--url", "http://192.0.2.1", "--allow-remote", expect=2).stderr
    assert "gives no proper answer" in recover(stripped, "--url", "http://127.0.0.1:9", expect=3).stderr
