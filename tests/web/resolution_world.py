"""A small home with pictures that are marked, signed, recorded and, but for one, anchored; and a verifier's home."""

from __future__ import annotations

import io
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import c2pa
import numpy as np
from PIL import Image

from generation.starter.scenes import SCENES, draw_scene
from provenance.anchoring import anchor_pending
from provenance.canonical import Json
from provenance.credentials import (
    ACTIONS_LABEL,
    ASSERTION_LABEL,
    SOFT_BINDING_LABEL,
    SOURCE_TYPE,
    ProvAssertion,
    soft_binding_algorithm,
)
from provenance.home import Home
from provenance.http.serving import listen, make_server
from provenance.identity import Issuer, load_issuer
from provenance.issuing import Making, encode_image, issue_image
from provenance.journal import Journal
from provenance.keyservice.limits import RateLimit
from provenance.ledger import open_ledger
from provenance.ledger.accounts import load_account
from provenance.placement import watermark_entry
from provenance.record import ImageRecord, Origin, build_record, pixels_digest
from provenance.resolution.repository import open_repository
from provenance.setup import set_up
from provenance.stores import open_store
from safety.watermark import embed_verified
from web.resolution.desk import ResolutionDesk
from web.resolution.service import create_app

NAMES = ("fish.png", "boat.jpg", "star.webp")


@dataclass(frozen=True)
class ResolutionWorld:
    """``maker`` has everything; ``verifier`` the same chain and blocks, no journal, and trusts the maker's root.

    ``old.png`` was signed as before manifests named their payload; ``late.png`` is recorded and not anchored; serial
    ``void`` is anchored as void.
    """

    maker: Home
    verifier: Home
    images: dict[str, Path]
    records: dict[str, ImageRecord]
    manifests: dict[str, bytes]
    void: int

    @property
    def root(self) -> Path:
        return self.maker.path / "identity" / "root.pem"

    def pixels(self, name: str) -> np.ndarray:
        with Image.open(self.images[name]) as opened:
            return np.asarray(opened.convert("RGB"))

    def payload(self, name: str) -> str:
        return self.records[name].payload

    def stripped(self, name: str, media: str = "JPEG", **options: object) -> bytes:
        """The pixels alone, saved anew."""
        return encoded(self.pixels(name), media, **options)

    def cropped_and_turned(self, name: str) -> bytes:
        """What is left of a picture that was turned by 8° and cropped to half its area, saved anew."""
        turned = Image.fromarray(self.pixels(name)).rotate(8, Image.Resampling.BICUBIC)
        return encoded(np.asarray(turned.crop((38, 38, 218, 218))), "JPEG", quality=70)


def encoded(pixels: np.ndarray, media: str = "JPEG", **options: object) -> bytes:
    output = io.BytesIO()
    Image.fromarray(pixels).save(output, media, **options)
    return output.getvalue()


def picture(number: int) -> np.ndarray:
    return np.asarray(draw_scene(SCENES[number * 7 % len(SCENES)], np.random.default_rng(number), 256))


def build_resolution_world(folder: Path) -> ResolutionWorld:
    home = set_up(folder / "maker", name="Ada Example").home
    issuer, account = load_issuer(home), load_account(home)
    ledger = open_ledger(home)
    opened = ledger.open_stream(account, 0)
    origin = Origin(
        ledger.identity.chain_id,
        ledger.identity.contract,
        ledger.namespace,
        opened.stream,
        0,
        None,
        None,
        "ba" * 32,
        issuer.root_digest,
    )
    records: dict[str, ImageRecord] = {}
    manifests: dict[str, bytes] = {}
    with Journal.of_home(home) as journal:
        journal.add_stream(opened)
        for number, name in enumerate(NAMES):
            records[name] = _issue(journal, folder / name, number, origin, issuer)
        void = journal.reserve(origin.stream)
        journal.void(origin.stream, void)
        records["old.png"] = _issue_as_before(journal, folder / "old.png", 40, origin, issuer)
        anchor_pending(home, ledger, open_store(home), journal, account)
        records["late.png"] = _issue(journal, folder / "late.png", 41, origin, issuer)
        for name, record in records.items():
            entry = journal.entry(record.stream, record.serial)
            assert entry is not None
            manifests[name] = entry.manifest
    ledger.close()
    return ResolutionWorld(
        home, _verifier(home, folder / "verifier"), {n: folder / n for n in records}, records, manifests, void
    )


def copied(world: ResolutionWorld, folder: Path) -> ResolutionWorld:
    """A copy whose homes a test may damage."""
    homes = {}
    for each in ("maker", "verifier"):
        shutil.copytree(getattr(world, each).path, folder / each)
        homes[each] = Home.open(folder / each)
    return replace(world, **homes)


@contextmanager
def serving(home: Home, *, burst: int = 10_000) -> Iterator[str]:
    """The service over a home on a port of this machine; its address."""
    desk = ResolutionDesk(open_repository(home), unlimited(burst), unlimited(burst))
    server, listening = make_server(create_app(desk)), listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


def unlimited(burst: int = 10_000) -> RateLimit:
    return RateLimit(burst=burst, per_minute=1)


def _verifier(maker: Home, path: Path) -> Home:
    home = Home.create(path)
    for name in ("chain", "blocks"):
        shutil.copytree(maker.path / name, path / name)
    shutil.copy(maker.path / "home.json", path / "home.json")
    (path / "trust").mkdir()
    shutil.copy(maker.path / "identity" / "root.pem", path / "trust" / "maker.pem")
    return home


def _making(watermark: Json) -> Making:
    return Making("prov test", {"hmac": "aa" * 32}, {"seed": 1}, (), watermark)


def _issue(journal: Journal, path: Path, number: int, origin: Origin, issuer: Issuer) -> ImageRecord:
    serial = journal.reserve(origin.stream)
    marked, detection = embed_verified(picture(number), origin.payload(serial))
    making = _making(watermark_entry(detection))
    return issue_image(marked, path, origin=origin, serial=serial, making=making, issuer=issuer, journal=journal)


def _issue_as_before(journal: Journal, path: Path, number: int, origin: Origin, issuer: Issuer) -> ImageRecord:
    """A picture whose manifest names neither its payload nor a fingerprint, and whose record tells no place."""
    serial = journal.reserve(origin.stream)
    marked, detection = embed_verified(picture(number), origin.payload(serial))
    assertion = ProvAssertion.of(origin, serial, pixels_digest(marked))
    definition = {
        "claim_generator_info": [{"name": "prov"}],
        "format": "image/png",
        "assertions": [
            {
                "label": ACTIONS_LABEL,
                "data": {
                    "actions": [
                        {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE},
                        {"action": "c2pa.watermarked.bound"},
                    ]
                },
            },
            {
                "label": SOFT_BINDING_LABEL,
                "data": {
                    "alg": soft_binding_algorithm(detection.backend),
                    "blocks": [{"scope": {}, "value": assertion.payload}],
                },
            },
            {"label": ASSERTION_LABEL, "data": assertion.to_json()},
        ],
    }
    output = io.BytesIO()
    settings = c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}})
    with (
        c2pa.Context(settings) as context,
        c2pa.Builder(json.dumps(definition), context=context) as builder,
        c2pa.Signer.from_callback(issuer.sign, c2pa.C2paSigningAlg.ES256, issuer.certificates_pem.decode()) as signer,
    ):
        source = io.BytesIO(encode_image(marked, "image/png"))
        manifest = bytes(builder.sign(signer, "image/png", source, output))
    path.write_bytes(output.getvalue())
    making = _making({"backend": detection.backend, "p_value": detection.p_value})
    record = build_record(
        output.getvalue(),
        origin=origin,
        serial=serial,
        manifest=manifest,
        created="2026-01-01T00:00:00Z",
        generator=making.generator,
        prompt=making.prompt,
        parameters=making.parameters,
        safety=making.safety,
        watermark=making.watermark,
    )
    journal.store(record, manifest)
    return record
