"""A forged file, a forged watermark, forged credentials: whichever layer lies, another one tells."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from provenance.credentials import ProvAssertion, sign_image, soft_binding_algorithm
from provenance.errors import ImageRefused
from provenance.issuing import encode_image
from provenance.record import pixels_digest
from provenance.verify import Verdict
from safety.watermark import embed

if TYPE_CHECKING:
    from conftest import World

ALGORITHM = soft_binding_algorithm("dwtDctSvd")
CREDENTIALS = "Content Credentials do not validate"


def chunks_of(png: bytes) -> list[tuple[bytes, bytes]]:
    position, found = 8, []
    while position < len(png):
        (length,) = struct.unpack_from(">I", png, position)
        found.append((png[position + 4 : position + 8], png[position + 8 : position + 8 + length]))
        position += 12 + length
    return found


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG with correct checksums: what a careful forger writes."""
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def with_manifest(png: bytes, change: Callable[[bytes], bytes]) -> bytes:
    return png_of([(kind, change(data) if kind == b"caBX" else data) for kind, data in chunks_of(png)])


def resigned(world: World, name: str, issuer, change: Callable[[ProvAssertion], ProvAssertion], **options) -> bytes:
    """The same pixels with new credentials by an issuer, whose assertion was changed."""
    pixels = options.pop("pixels", world.pixels(name))
    record = world.records[options.pop("of", name)]
    encoded = encode_image(pixels, "image/png")
    assertion = change(ProvAssertion.of(record.origin, record.serial, pixels_digest(pixels)))
    binding = options.pop("soft_binding", ALGORITHM)
    return sign_image(encoded, "image/png", issuer=issuer, assertion=assertion, soft_binding=binding, title=name).data


def test_a_changed_pixel_under_the_old_manifest_is_tampering(world: World, tmp_path: Path) -> None:
    pixels = world.pixels("fish.png").copy()
    pixels[40, 40, 0] ^= 1
    clean = chunks_of(encode_image(pixels, "image/png"))
    manifest = next(chunk for chunk in chunks_of(world.images["fish.png"].read_bytes()) if chunk[0] == b"caBX")
    forged = tmp_path / "forged.png"
    forged.write_bytes(png_of([clean[0], manifest, *clean[1:]]))
    report = world.verify(forged)
    assert report.verdict is Verdict.TAMPERED
    assert report.layer("credentials").detail == f"{CREDENTIALS}: assertion.dataHash.mismatch"


@pytest.mark.parametrize("name", ["fish.png", "tree.jpg", "star.webp"])
@pytest.mark.parametrize("place", range(0, 100, 4))
def test_no_changed_byte_leaves_a_file_genuine(world: World, tmp_path: Path, name: str, place: int) -> None:
    data = bytearray(world.images[name].read_bytes())
    data[len(data) * place // 100] ^= 1
    forged = tmp_path / name
    forged.write_bytes(bytes(data))
    try:
        report = world.verify(forged)
    except ImageRefused:
        return
    assert report.verdict not in (Verdict.AUTHENTIC, Verdict.REVOKED)
    # A WebP or JPEG whose metadata is cut loose by a flipped tag is a picture without credentials, no more.
    if report.verdict is Verdict.RECOVERED:
        assert report.layer("credentials").status == "absent"


@pytest.mark.parametrize("place", range(0, 100, 5))
def test_no_changed_byte_of_a_manifest_with_mended_checksum_passes(world: World, tmp_path: Path, place: int) -> None:
    def flip(manifest: bytes) -> bytes:
        changed = bytearray(manifest)
        changed[len(changed) * place // 100] ^= 1
        return bytes(changed)

    forged = tmp_path / "forged.png"
    forged.write_bytes(with_manifest(world.images["fish.png"].read_bytes(), flip))
    report = world.verify(forged)
    assert report.verdict is Verdict.TAMPERED
    said = report.layer("credentials").detail + report.layer("binding").detail
    assert CREDENTIALS in said or "the file is not the one on record" in said


def test_a_byte_in_the_manifests_padding_is_caught_by_the_record(world: World, tmp_path: Path) -> None:
    def flip(manifest: bytes) -> bytes:
        place = manifest.rindex(b"\x00" * 64)
        return manifest[:place] + b"\x01" + manifest[place + 1 :]

    forged = tmp_path / "forged.png"
    forged.write_bytes(with_manifest(world.images["fish.png"].read_bytes(), flip))
    report = world.verify(forged)
    assert report.layer("credentials").status == "ok"
    assert report.verdict is Verdict.TAMPERED
    assert "the file is not the one on record" in report.layer("binding").detail


def test_another_images_manifest_is_tampering(world: World, tmp_path: Path) -> None:
    other = next(c for c in chunks_of(world.images["boat.png"].read_bytes()) if c[0] == b"caBX")
    forged = tmp_path / "forged.png"
    forged.write_bytes(with_manifest(world.images["fish.png"].read_bytes(), lambda _: other[1]))
    report = world.verify(forged)
    assert report.verdict is Verdict.TAMPERED
    assert CREDENTIALS in report.layer("credentials").detail


def test_two_manifests_are_tampering(world: World, tmp_path: Path) -> None:
    chunks = chunks_of(world.images["fish.png"].read_bytes())
    manifest = next(chunk for chunk in chunks if chunk[0] == b"caBX")
    forged = tmp_path / "forged.png"
    forged.write_bytes(png_of([chunks[0], manifest, *chunks[1:]]))
    report = world.verify(forged)
    assert report.verdict is Verdict.TAMPERED
    assert "more than one manifest store" in report.layer("credentials").detail


def test_a_truncated_file_is_no_picture(world: World, tmp_path: Path) -> None:
    forged = tmp_path / "cut.png"
    forged.write_bytes(world.images["fish.png"].read_bytes()[:-2000])
    with pytest.raises(ImageRefused, match=r"cut\.png cannot be decoded"):
        world.verify(forged)


LIES = [
    ("payload", {"payload": "8700000010000001"}, r"the soft binding names|the watermark says|do not belong together"),
    ("record", {"record": "urn:prov:image:1:0x00:1:1"}, "payload, record and ledger do not belong together"),
    ("chain_id", {"chain_id": 1}, "payload, record and ledger do not belong together"),
    ("contract", {"contract": "0x" + "11" * 20}, "payload, record and ledger do not belong together"),
    ("token", {"token": 2}, "credentials and record name another token"),
    ("adapter", {"adapter": "11" * 32}, "credentials and record name another adapter"),
    ("adapter removed", {"adapter": None}, "credentials and record name another adapter"),
    ("dataset", {"dataset": "11" * 32}, "credentials and record name another dataset"),
    ("dataset removed", {"dataset": None}, "credentials and record name another dataset"),
    ("pixels", {"pixels": "11" * 32}, "the credentials were made for other pixels"),
    ("issuer", {"issuer": "11" * 32}, "credentials and record name another issuer"),
    ("issuer malformed", {"issuer": "x"}, "assertion's issuer is wrong"),
    ("nothing", {}, "the file is not the one on record"),
]


@pytest.mark.parametrize(("field", "change", "message"), LIES, ids=[lie[0] for lie in LIES])
def test_the_issuer_cannot_sign_another_assertion(
    world: World, tmp_path: Path, field: str, change: dict, message: str
) -> None:
    forged = tmp_path / "forged.png"
    forged.write_bytes(resigned(world, "fish.png", world.issuer, lambda assertion: replace(assertion, **change)))
    report = world.verify(forged)
    assert report.verdict is Verdict.TAMPERED
    assert re.search(message, " ".join(layer.detail for layer in report.layers if layer.status == "failed"))


def test_another_images_assertion_contradicts_the_watermark(world: World, tmp_path: Path) -> None:
    forged = tmp_path / "forged.png"
    forged.write_bytes(resigned(world, "fish.png", world.issuer, lambda a: a, of="boat.png"))
    report = world.verify(forged)
    assert report.verdict is Verdict.TAMPERED
    theirs, ours = world.records["boat.png"].payload, world.records["fish.png"].payload
    assert report.layer("credentials").detail == f"the watermark says {ours}, the credentials {theirs}"


def test_credentials_without_a_watermark_are_tampering(world: World, tmp_path: Path) -> None:
    forged = tmp_path / "forged.png"
    forged.write_bytes(resigned(world, "fish.png", world.issuer, lambda a: a, pixels=world.picture(101)))
    report = world.verify(forged)
    assert report.verdict is Verdict.TAMPERED
    assert "the picture carries none" in report.layer("credentials").detail


def test_an_unknown_soft_binding_is_tampering(world: World, tmp_path: Path) -> None:
    forged = tmp_path / "forged.png"
    forged.write_bytes(resigned(world, "fish.png", world.issuer, lambda a: a, soft_binding="com.example.other.1"))
    report = world.verify(forged)
    assert report.verdict is Verdict.TAMPERED
    assert "unknown algorithm" in report.layer("credentials").detail


def test_a_strangers_credentials_over_our_watermark_are_tampering(world: World, tmp_path: Path, stranger) -> None:
    forged = tmp_path / "forged.png"
    forged.write_bytes(resigned(world, "fish.png", stranger, lambda a: a))
    report = world.verify(forged)
    assert report.verdict is Verdict.TAMPERED
    assert "under a root that neither the trust store nor the stream's holder vouches for" in (
        report.layer("credentials").detail
    )


def test_a_stranger_with_the_makers_root_digest_in_his_assertion_is_not_believed(
    world: World, tmp_path: Path, stranger
) -> None:
    forged = tmp_path / "forged.png"
    forged.write_bytes(resigned(world, "fish.png", stranger, lambda a: replace(a, issuer=world.issuer.root_digest)))
    assert world.verify(forged).verdict is Verdict.TAMPERED


def test_a_strangers_credentials_without_a_watermark_prove_nothing(world: World, tmp_path: Path, stranger) -> None:
    forged = tmp_path / "forged.png"
    data = resigned(
        world,
        "fish.png",
        stranger,
        lambda a: replace(a, issuer=stranger.root_digest),
        pixels=world.picture(101),
    )
    forged.write_bytes(data)
    report = world.verify(forged)
    assert report.verdict in (Verdict.UNKNOWN, Verdict.TAMPERED)
    assert report.exit_code in (1, 4)


def foreign_credentials(pixels: np.ndarray, issuer) -> bytes:
    """A valid manifest that says nothing of ours: a picture said to be taken by a camera."""
    import json

    import c2pa

    manifest = {
        "claim_generator_info": [{"name": "Camera", "version": "1"}],
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {
                    "actions": [
                        {
                            "action": "c2pa.created",
                            "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture",
                        }
                    ]
                },
            }
        ],
    }
    output = io.BytesIO()
    with (
        c2pa.Context(c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}})) as context,
        c2pa.Builder(json.dumps(manifest), context=context) as builder,
        c2pa.Signer.from_callback(issuer.sign, c2pa.C2paSigningAlg.ES256, issuer.certificates_pem.decode()) as signer,
    ):
        builder.sign(signer, "image/png", io.BytesIO(encode_image(pixels, "image/png")), output)
    return output.getvalue()


def test_a_cameras_credentials_over_our_watermark_are_tampering(world: World, tmp_path: Path, stranger) -> None:
    forged = tmp_path / "forged.png"
    forged.write_bytes(foreign_credentials(world.pixels("fish.png"), stranger))
    report = world.verify(forged)
    assert report.verdict is Verdict.TAMPERED
    assert "do not speak of the watermark that the picture carries" in report.layer("credentials").detail


def test_a_cameras_credentials_without_a_watermark_are_unknown(world: World, tmp_path: Path, stranger) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(foreign_credentials(world.picture(7), stranger))
    report = world.verify(photo)
    assert report.verdict is Verdict.UNKNOWN
    assert "which say nothing of a ledger" in report.layer("credentials").detail


def test_a_watermark_on_another_picture_is_copied(world: World, tmp_path: Path) -> None:
    payload = int(world.records["fish.png"].payload, 16)
    forged = world.saved(embed(world.picture(55), payload), tmp_path / "forged.png")
    report = world.verify(forged)
    assert report.verdict is Verdict.COPIED
    # Embedded anew, the mark may even lie where it shows nothing of the recorded picture.
    said = report.layer("picture").detail
    assert "issued for another picture" in said or "shows nothing of the recorded picture" in said


def test_another_images_watermark_on_the_same_pixels_is_copied(world: World, tmp_path: Path) -> None:
    payload = int(world.records["boat.png"].payload, 16)
    forged = world.saved(embed(world.picture(101), payload), tmp_path / "forged.png")
    assert world.verify(forged).verdict is Verdict.COPIED


def test_a_voided_serial_is_nobodys(world: World, tmp_path: Path) -> None:
    record = world.records["fish.png"]
    forged = world.saved(embed(world.picture(55), record.origin.payload(2)), tmp_path / "forged.png")
    report = world.verify(forged)
    assert report.verdict is Verdict.TAMPERED
    assert report.layer("record").detail == "serial 2 was anchored as void: no picture was issued under it"


def test_a_watermark_of_a_stream_that_was_never_opened_is_tampering(world: World, tmp_path: Path) -> None:
    payload = world.ledger.namespace << 56 | 999 << 28
    report = world.verify(world.saved(embed(world.picture(55), payload), tmp_path / "forged.png"))
    assert report.verdict is Verdict.TAMPERED
    assert "stream 999 was never opened" in report.layer("ledger").detail


def test_a_watermark_of_another_ledger_is_unknown(world: World, tmp_path: Path) -> None:
    payload = (world.ledger.namespace ^ 1) << 56 | 1 << 28
    report = world.verify(world.saved(embed(world.picture(55), payload), tmp_path / "other.png"))
    assert report.verdict is Verdict.UNKNOWN
    assert "belongs to another ledger" in report.layer("ledger").detail


def test_metadata_of_another_kind_does_not_matter(world: World, tmp_path: Path) -> None:
    path = tmp_path / "noted.png"
    image = Image.fromarray(world.pixels("fish.png"))
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Author", "someone else")
    image.save(path, pnginfo=info)
    assert world.verify(path).verdict is Verdict.RECOVERED


def test_changed_text_beside_the_pixels_is_tampering(world: World, tmp_path: Path) -> None:
    chunks = chunks_of(world.images["fish.png"].read_bytes())
    told = next(data for kind, data in chunks if kind == b"tEXt")
    assert told == b"parameters\x00Steps: 20, CFG scale: 7.5, Seed: 101"
    forged = tmp_path / "forged.png"
    for change in ([(b"tEXt", told.replace(b"101", b"102"))], []):
        changed = [new for old in chunks for new in (change if old[0] == b"tEXt" else [old])]
        forged.write_bytes(png_of(changed))
        assert world.verify(forged).verdict is Verdict.TAMPERED
    without = [chunk for chunk in chunks if chunk[0] not in (b"tEXt", b"caBX")]
    forged.write_bytes(png_of(without))
    assert world.verify(forged).verdict is Verdict.RECOVERED
