"""Which verdict an honest picture gets, and what the report says of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from provenance import certificates
from provenance.anchoring import anchor_pending
from provenance.errors import Unavailable
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.journal import Journal
from provenance.trust import TrustStore
from provenance.verify import Verdict, verify_image
from provenance.verify.report import LAYERS

if TYPE_CHECKING:
    from conftest import World

ANCHORED = ("fish.png", "boat.png", "tree.jpg", "star.webp", "cup.png", "house.png", "plain.png")


@pytest.mark.parametrize("name", ANCHORED)
def test_an_untouched_image_is_authentic(world: World, name: str) -> None:
    report = world.verify(name)
    assert report.verdict is Verdict.AUTHENTIC
    assert report.exit_code == 0
    assert [layer.name for layer in report.layers] == list(LAYERS)
    assert {layer.status for layer in report.layers if layer.name != "dataset"} == {"ok"}


@pytest.mark.parametrize("name", ANCHORED)
@pytest.mark.parametrize(
    "saved", [{"format": "PNG"}, {"format": "JPEG", "quality": 95}, {"format": "JPEG", "quality": 75}], ids=str
)
def test_a_stripped_image_is_recovered(world: World, tmp_path: Path, name: str, saved: dict) -> None:
    report = world.verify(world.stripped(name, tmp_path / "plain", **saved))
    assert report.verdict is Verdict.RECOVERED
    assert report.exit_code == 0
    assert report.layer("credentials").status == "absent"
    assert report.facts["record"] == world.records[name].id


def test_facts_are_those_of_the_ledger_and_the_record(world: World) -> None:
    facts = world.verify("cup.png").facts
    assert facts["holder"] == world.licensee.address
    assert facts["maker"] == facts["owner"] == world.maker.address
    assert facts["adapter"]["token"] == 1
    assert facts["adapter"]["weights"] == world.tokens[0].weights
    assert facts["dataset"]["name"] == "harbour"
    assert facts["dataset"]["pictures"] == 6
    assert facts["licences"] == ["CC-BY-4.0"]
    assert facts["licence"]["licensee"] == world.licensee.address
    assert facts["created"] == world.records["cup.png"].created
    assert facts["issuer"] == {"name": "Ada Example", "root": world.issuer.root_digest}


def test_a_report_prints_as_json_and_for_people(world: World) -> None:
    report = world.verify("fish.png")
    value = json.loads(json.dumps(report.to_json()))
    assert value["verdict"] == "authentic"
    assert value["exit_code"] == 0
    assert [layer["name"] for layer in value["layers"]] == list(LAYERS)
    lines = report.to_text().splitlines()
    assert lines[0].endswith("fish.png: AUTHENTIC")
    assert any("harbour" in line for line in lines)


def test_an_image_that_is_not_anchored_yet_is_unknown(world: World) -> None:
    report = world.verify("late.png")
    assert report.verdict is Verdict.UNKNOWN
    assert report.exit_code == 4
    assert "is not anchored yet; its holder runs `prov anchor`" in report.layer("ledger").detail


def test_a_picture_without_any_trace_is_unknown(world: World, tmp_path: Path) -> None:
    report = world.verify(world.saved(world.picture(3), tmp_path / "plain.png"))
    assert report.verdict is Verdict.UNKNOWN
    assert report.layer("credentials").detail == "no Content Credentials"
    assert report.layer("watermark").status == "absent"
    assert report.layer("ledger").detail == "not reached"


def test_an_issuer_that_the_holder_registered_needs_no_trust_store(world: World) -> None:
    report = world.verify("fish.png", trust=TrustStore())
    assert report.verdict is Verdict.AUTHENTIC
    assert "vouched for by the stream's holder" in report.layer("issuer").detail


def test_an_issuer_that_nobody_registered_is_tampering(world: World) -> None:
    from contracts.artifact import load_artifact

    registered = load_artifact().events["IssuerRegistered"].selector
    logs = tuple(log for log in world.logs() if log.topics[0] != registered)
    report = world.verify("fish.png", reader=world.reader(logs), trust=TrustStore())
    assert report.verdict is Verdict.TAMPERED
    assert "vouches for" in report.layer("credentials").detail


def test_a_stripped_image_of_an_issuer_nobody_vouches_for_is_unknown(world: World, tmp_path: Path) -> None:
    from contracts.artifact import load_artifact

    registered = load_artifact().events["IssuerRegistered"].selector
    logs = tuple(log for log in world.logs() if log.topics[0] != registered)
    plain = world.stripped("fish.png", tmp_path / "plain.png")
    report = world.verify(plain, reader=world.reader(logs), trust=TrustStore())
    assert report.verdict is Verdict.UNKNOWN


def test_without_a_ledger_a_trace_cannot_be_followed(world: World, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="only a ledger can confirm") as refusal:
        verify_image(world.images["fish.png"], trust=world.trust)
    assert refusal.value.exit_code == 3
    assert "--bundle" in str(refusal.value)


def test_without_a_ledger_a_broken_signature_is_still_tampering(world: World, tmp_path: Path) -> None:
    pixels = world.pixels("plain.png")
    data = world.images["tree.jpg"].read_bytes()
    forged = tmp_path / "forged.jpg"
    forged.write_bytes(data.replace(b"trainedAlgorithmicMedia", b"trainedAlgorithmicFilms"))
    assert verify_image(forged, trust=world.trust).verdict is Verdict.TAMPERED
    assert pixels.size


def test_without_a_ledger_a_plain_picture_is_unknown(world: World, tmp_path: Path) -> None:
    plain = world.saved(world.picture(3), tmp_path / "plain.png")
    assert verify_image(plain, trust=TrustStore()).verdict is Verdict.UNKNOWN


def test_a_picture_too_small_for_a_watermark_is_unknown(world: World, tmp_path: Path) -> None:
    report = world.verify(world.saved(world.picture(3, 48), tmp_path / "small.png"))
    assert report.verdict is Verdict.UNKNOWN
    assert "too small" in report.layer("watermark").detail


@pytest.fixture(scope="module")
def revocations(
    make_world: Callable[[Path], World], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, dict[str, tuple]]]:
    """A world of its own, and its logs after each revocation by itself."""
    world = make_world(tmp_path_factory.mktemp("revoked"))
    before = world.logs()
    stages = {}
    done = len(before)

    def note(name: str) -> None:
        nonlocal done
        stages[name] = before + world.logs()[done:]
        done = len(world.logs())

    world.ledger.revoke(world.maker, 1, world.licensee.address, reason="terms broken")
    note("licence")
    record = next(record for record in world.datasets[0].records if record.path == "data/03.png")
    world.ledger.revoke_consent(world.maker, 1, record=record.digest, reason="the painter objects")
    note("consent")
    world.ledger.revoke_adapter(world.maker, 1, reason="withdrawn")
    note("adapter")
    yield world, stages
    world.ledger.close()


@pytest.mark.parametrize("stripped", [False, True])
@pytest.mark.parametrize(
    ("stage", "image", "message"),
    [
        ("licence", "cup.png", "was revoked: terms broken"),
        ("consent", "fish.png", "consent to data/03.png was withdrawn: the painter objects"),
        ("consent", "cup.png", "consent to data/03.png was withdrawn: the painter objects"),
        ("adapter", "fish.png", "adapter 1 was withdrawn: withdrawn"),
    ],
)
def test_a_withdrawn_right_is_revoked(
    revocations, tmp_path: Path, stage: str, image: str, message: str, stripped: bool
) -> None:
    world, stages = revocations
    path = world.stripped(image, tmp_path / "plain.png") if stripped else world.images[image]
    report = world.verify(path, reader=world.reader(stages[stage]))
    assert report.verdict is Verdict.REVOKED
    assert report.exit_code == 1
    assert message in report.layer("rights").detail


@pytest.mark.parametrize(
    ("stage", "image"), [("licence", "fish.png"), ("consent", "house.png"), ("adapter", "plain.png")]
)
def test_a_right_withdrawn_from_others_changes_nothing(revocations, stage: str, image: str) -> None:
    world, stages = revocations
    assert world.verify(image, reader=world.reader(stages[stage])).verdict is Verdict.AUTHENTIC


def test_tampering_outweighs_a_revocation(revocations, tmp_path: Path) -> None:
    world, stages = revocations
    forged = tmp_path / "forged.png"
    forged.write_bytes(world.images["fish.png"].read_bytes() + b"\0")
    assert world.verify(forged, reader=world.reader(stages["adapter"])).verdict is Verdict.TAMPERED


def short_lived(home: Home, issuer: Issuer, seconds: int) -> Issuer:
    """The same root with a leaf that ends soon."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from provenance.files import write_file
    from provenance.moments import utc_now

    folder = home.path / "identity"
    root_key = load_pem_private_key((folder / "root.key.pem").read_bytes(), None)
    root = certificates.parse_certificates(issuer.certificates_pem)[-1]
    key = ec.generate_private_key(ec.SECP256R1())
    begun = utc_now() - certificates.LEAF_LIFETIME + timedelta(seconds=seconds)
    leaf = certificates.create_leaf(key.public_key(), root_key, root, begun)
    chain = certificates.to_pem(leaf, root)
    write_file(folder / "issuer.pem", chain)
    return Issuer(issuer.name, certificates.key_id(key.public_key()), chain, issuer.root_digest, key)


def test_after_its_certificate_expired_an_anchored_image_stays_authentic(
    make_world: Callable[[Path], World], tmp_path: Path
) -> None:
    import time

    world = make_world(tmp_path)
    started = time.monotonic()
    world.issuer = short_lived(world.home, world.issuer, 4)
    with Journal.of_home(world.home) as journal:
        world.issue("old.png", 120, world.maker, world.tokens[0], journal)
        anchor_pending(world.home, world.ledger, world.store, journal, world.maker)
    time.sleep(max(0, 5.5 - (time.monotonic() - started)))
    report = world.verify("old.png")
    assert report.verdict is Verdict.AUTHENTIC
    assert "its certificate has expired since; the ledger dates the file" in report.layer("credentials").checked
    recovered = world.verify(world.stripped("old.png", tmp_path / "plain.png"))
    assert recovered.verdict is Verdict.RECOVERED
    forged = tmp_path / "forged.png"
    data = bytearray(world.images["old.png"].read_bytes())
    data[-20] ^= 0
    forged.write_bytes(bytes(data) + b"\0")
    assert world.verify(forged).verdict is Verdict.TAMPERED
    world.ledger.close()


def test_an_image_made_in_another_home_is_unknown_here(world: World, tmp_path: Path) -> None:
    from provenance.ledger.accounts import create_account
    from provenance.ledger.embedded import open_embedded_ledger

    home = Home.create(tmp_path / "other")
    create_issuer(home, "Someone Else")
    create_account(home, "maker")
    other = open_embedded_ledger(home)
    report = world.verify("fish.png", reader=other)
    other.close()
    assert report.verdict is Verdict.UNKNOWN
    assert "made on another ledger" in report.layer("ledger").detail


def hostile_files() -> dict[str, bytes]:
    def saved(image: Image.Image, kind: str, **options: object) -> bytes:
        output = io.BytesIO()
        image.save(output, kind, **options)
        return output.getvalue()

    grey = Image.new("L", (300, 200), 99)
    whole = saved(Image.new("RGB", (300, 200), "red"), "PNG")
    huge = bytearray(whole)
    huge[16:24] = (60_000).to_bytes(4, "big") * 2
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    return {
        "empty.png": b"",
        "text.png": b"this is not a picture\n",
        "cut.png": whole[:80],
        "cut.jpg": saved(grey, "JPEG")[:300],
        "cut.webp": saved(grey.convert("RGB"), "WEBP")[:60],
        "huge.png": bytes(huge),
        "moving.webp": saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "moving.png": saved(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "picture.gif": saved(grey, "GIF"),
        "picture.bmp": saved(grey, "BMP"),
    }


@pytest.mark.parametrize("name", list(hostile_files()))
def test_a_hostile_file_is_refused_with_a_reason(world: World, tmp_path: Path, name: str) -> None:
    from provenance.errors import ProvenanceError

    path = tmp_path / name
    path.write_bytes(hostile_files()[name])
    with pytest.raises(ProvenanceError, match=name) as refusal:
        world.verify(path)
    assert refusal.value.exit_code == 1
    assert refusal.value.expected


@pytest.mark.parametrize(
    "image",
    [
        Image.new("CMYK", (300, 200)),
        Image.new("L", (300, 200)),
        Image.new("RGBA", (300, 200)),
        Image.new("P", (300, 200)),
        Image.new("1", (300, 200)),
        Image.fromarray(np.arange(60_000, dtype=np.uint16).reshape(200, 300)),
        Image.new("RGB", (1, 2000)),
        Image.new("RGB", (2000, 1)),
        Image.new("RGB", (1, 1)),
    ],
    ids=lambda image: f"{image.mode} {image.size}",
)
def test_an_unusual_picture_is_only_unknown(world: World, tmp_path: Path, image: Image.Image) -> None:
    path = tmp_path / ("picture.jpg" if image.mode == "CMYK" else "picture.png")
    image.save(path)
    assert world.verify(path).verdict is Verdict.UNKNOWN


def test_a_missing_file_and_a_link_are_refused(world: World, tmp_path: Path) -> None:
    from provenance.errors import FileRefused

    with pytest.raises(FileRefused, match="does not exist"):
        world.verify(tmp_path / "nothing.png")
    (tmp_path / "link.png").symlink_to(world.images["fish.png"])
    with pytest.raises(FileRefused, match="cannot be opened"):
        world.verify(tmp_path / "link.png")
    with pytest.raises(FileRefused, match="is not a regular file"):
        world.verify(tmp_path)
