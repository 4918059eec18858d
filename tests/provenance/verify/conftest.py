"""A small real world, built once: a dataset, two adapters as tokens, images that are marked, signed and anchored."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from generation.starter.scenes import SCENES, draw_scene
from provenance.adapter import sign_adapter
from provenance.anchoring import anchor_pending
from provenance.canonical import Json
from provenance.dataset import DatasetManifest, sign_dataset
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.issuing import Making, issue_image
from provenance.journal import Journal
from provenance.ledger.accounts import KeystoreAccount, create_account
from provenance.ledger.embedded import EmbeddedLedger, open_embedded_ledger
from provenance.ledger.protocol import LedgerReader, Log, Token
from provenance.ledger.snapshot import Snapshot
from provenance.placement import watermark_entry
from provenance.record import ImageRecord, Origin
from provenance.release import publish_release
from provenance.stores import FolderStore, open_store
from provenance.trust import TrustStore
from provenance.unixfs import BlockSource, read_path, walk
from provenance.verify import Report, verify_image
from safety.decision import Decision
from safety.watermark import embed_verified

BASE = "ba" * 32
DECISIONS = (
    Decision(True, "prompt", "5a" * 32, "f1" * 32).to_json(),
    Decision(
        True, "output", "5a" * 32, "f2" * 32, {"skull": 0.0125}, {"skull": 0.25}, model_digest="5e" * 32
    ).to_json(),
)


@dataclass
class World:
    """Everything a test needs; images by name, with their records."""

    folder: Path
    home: Home
    issuer: Issuer
    maker: KeystoreAccount
    licensee: KeystoreAccount
    ledger: EmbeddedLedger
    store: FolderStore
    trust: TrustStore
    datasets: tuple[DatasetManifest, DatasetManifest]
    adapters: tuple[Path, Path]
    tokens: tuple[Token, Token]
    images: dict[str, Path]
    records: dict[str, ImageRecord]

    def logs(self) -> tuple[Log, ...]:
        """Every log of the ledger, in order."""
        return tuple(self.ledger.source.logs([None]))

    def reader(self, logs: tuple[Log, ...] | None = None) -> LedgerReader:
        """The ledger, or one with other logs."""
        return Snapshot(self.ledger.identity, self.ledger.head(), self.logs() if logs is None else logs).reader()

    def verify(
        self,
        image: Path | str,
        *,
        reader: LedgerReader | None = None,
        store: BlockSource | None = None,
        trust: TrustStore | None = None,
    ) -> Report:
        """Verifies an image by name or path."""
        path = self.images[image] if isinstance(image, str) else image
        return verify_image(path, reader=reader or self.reader(), store=store or self.store, trust=trust or self.trust)

    def edited(self, old: str, new: str, *, of: tuple[Log, ...] | None = None) -> tuple[Log, ...]:
        """The logs, with one hexadecimal string changed into another; fails when it is not there."""
        logs = of or self.logs()
        changed = tuple(
            replace(log, data=log.data.replace(old, new), topics=tuple(t.replace(old, new) for t in log.topics))
            for log in logs
        )
        assert changed != logs
        return changed

    def pointing(self, old: str, new: str) -> LedgerReader:
        """The ledger as if it had been given another CID."""
        assert len(old) == len(new)
        return self.reader(self.edited(old.encode().hex(), new.encode().hex()))

    def pixels(self, name: str) -> np.ndarray:
        """What an image shows."""
        with Image.open(self.images[name]) as opened:
            return np.asarray(opened.convert("RGB"))

    def stripped(self, name: str, target: Path, **options: object) -> Path:
        """The pixels alone, saved again: no metadata, no credentials."""
        return self.saved(self.pixels(name), target, **options)

    def saved(self, pixels: np.ndarray, target: Path, **options: object) -> Path:
        """Pixels as a file."""
        output = io.BytesIO()
        Image.fromarray(pixels).save(output, **{"format": "PNG", **options})
        target.write_bytes(output.getvalue())
        return target

    def picture(self, number: int, size: int = 256) -> np.ndarray:
        """A drawn scene."""
        return picture(number, size)

    def issue(self, name: str, number: int, account: KeystoreAccount, token: Token | None, journal: Journal) -> None:
        """Makes one more image."""
        issue(self, name, number, account, token, journal)

    def origin(self, account: KeystoreAccount, token: Token | None, journal: Journal) -> Origin:
        """The origin of an account's images."""
        return origin_of(self, account, token, journal)

    def tree(self, cid: str) -> dict[str, bytes]:
        """The files below a CID."""
        return {name: read_path(self.store, cid, name) for name, _, _ in walk(self.store, cid)}


def picture(number: int, size: int = 256) -> np.ndarray:
    """A drawn scene, as (size, size, 3) uint8."""
    return np.asarray(draw_scene(SCENES[number * 7 % len(SCENES)], np.random.default_rng(number), size))


def predicate(dataset: str) -> Json:
    """A training statement's claim."""
    return {
        "buildDefinition": {
            "buildType": "urn:prov:train-lora:v1",
            "externalParameters": {"rank": 4},
            "internalParameters": {},
            "resolvedDependencies": [
                {"name": "dataset", "digest": {"sha256": dataset}},
                {"name": "base", "digest": {"sha256": BASE}, "uri": "starter"},
                {"name": "code", "digest": {"sha256": "c0" * 32}, "uri": "prov"},
            ],
        },
        "runDetails": {
            "builder": {"id": "urn:prov:trainer:v1"},
            "metadata": {"startedOn": _now(), "finishedOn": _now()},
        },
    }


def _now() -> str:
    from provenance.moments import format_moment, utc_now

    return format_moment(utc_now())


def _dataset(folder: Path, issuer: Issuer, numbers: range, name: str) -> DatasetManifest:
    source = folder / f"{name}-pictures"
    source.mkdir()
    for number in numbers:
        Image.fromarray(picture(number, 64)).save(source / f"{number:02d}.png")
        (source / f"{number:02d}.txt").write_text(f"picture number {number}\n")
    return sign_dataset(source, folder / name, issuer=issuer, licence="CC-BY-4.0", holder="Ada Example", name=name)


def _adapter(folder: Path, issuer: Issuer, dataset: DatasetManifest, name: str, seed: int) -> Path:
    release = folder / name
    (release / "adapter").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    tensors = {
        f"unet.down_blocks.0.attentions.0.to_{part}.lora_{side}.weight": rng.standard_normal(shape).astype(np.float32)
        for part in "qkv"
        for side, shape in (("A", (4, 64)), ("B", (64, 4)))
    }
    save_file(tensors, release / "adapter" / "adapter.safetensors", metadata={"ss_network_dim": "4"})
    (release / "adapter" / "config.json").write_text(f'{{"rank": 4, "seed": {seed}}}\n')
    sign_adapter(release, issuer=issuer, predicate=predicate(dataset.digest), dataset=dataset)
    return release


def build_world(folder: Path) -> World:
    home = Home.create(folder / "home")
    issuer = create_issuer(home, "Ada Example")
    trust = TrustStore.of_home(home)
    maker, licensee = create_account(home, "maker"), create_account(home, "licensee")
    ledger = open_embedded_ledger(home)
    for account in (maker, licensee):
        ledger.fund(account.address)
    store = open_store(home)
    assert isinstance(store, FolderStore)
    datasets = _dataset(folder, issuer, range(6), "harbour"), _dataset(folder, issuer, range(20, 22), "orchard")
    adapters = _adapter(folder, issuer, datasets[0], "one", 1), _adapter(folder, issuer, datasets[1], "two", 2)
    first, second = (
        publish_release(
            adapter,
            folder / dataset.name,
            home=home,
            ledger=ledger,
            store=store,
            account=maker,
            trust=trust,
            include_data=True,
            sealed=False,
            terms={"price": None, "number": number},
        )
        for number, (adapter, dataset) in enumerate(zip(adapters, datasets, strict=True))
    )
    ledger.grant(maker, first.token, licensee.address, expires=ledger.now() + 10**6)
    world = World(
        folder, home, issuer, maker, licensee, ledger, store, trust, datasets, adapters, (first, second), {}, {}
    )
    _issue_all(world)
    return world


def origin_of(world: World, account: KeystoreAccount, token: Token | None, journal: Journal) -> Origin:
    """The origin of an account's images with a token; its stream is opened when there is none."""
    number = token.token if token else 0
    stream = journal.stream_for(account.address, number)
    if stream is None:
        opened = world.ledger.open_stream(account, number)
        journal.add_stream(opened)
        stream = opened.stream
    identity = world.ledger.identity
    return Origin(
        chain_id=identity.chain_id,
        contract=identity.contract,
        namespace=world.ledger.namespace,
        stream=stream,
        token=number,
        weights=token.weights if token else None,
        dataset=token.dataset if token else None,
        base=BASE,
        issuer=world.issuer.root_digest,
    )


def making(watermark: Json, number: int = 0) -> Making:
    """How a test's pictures were made."""
    return Making(
        generator="prov test",
        prompt={"hmac": "aa" * 32} if number % 2 else {"text": f"picture {number}"},
        parameters={"seed": number, "steps": 20, "guidance": 7.5},
        safety=DECISIONS,
        watermark=watermark,
        told=f"Steps: 20, CFG scale: 7.5, Seed: {number}",
    )


def issue(
    world: World, name: str, number: int, account: KeystoreAccount, token: Token | None, journal: Journal
) -> None:
    """Makes one image: marked, signed, recorded, written."""
    origin = origin_of(world, account, token, journal)
    serial = journal.reserve(origin.stream)
    marked, detection = embed_verified(picture(number), origin.payload(serial))
    watermark = watermark_entry(detection)
    path = world.folder / "images" / name
    world.records[name] = issue_image(
        marked,
        path,
        origin=origin,
        serial=serial,
        making=making(watermark, number),
        issuer=world.issuer,
        journal=journal,
    )
    world.images[name] = path


def _issue_all(world: World) -> None:
    first, second = world.tokens
    with Journal.of_home(world.home) as journal:
        issue(world, "fish.png", 101, world.maker, first, journal)
        issue(world, "boat.png", 102, world.maker, first, journal)
        journal.void(stream := origin_of(world, world.maker, first, journal).stream, journal.reserve(stream))
        issue(world, "tree.jpg", 103, world.maker, first, journal)
        issue(world, "star.webp", 104, world.maker, first, journal)
        issue(world, "cup.png", 105, world.licensee, first, journal)
        issue(world, "house.png", 106, world.maker, second, journal)
        issue(world, "plain.png", 107, world.maker, None, journal)
        for account in (world.maker, world.licensee):
            anchor_pending(world.home, world.ledger, world.store, journal, account)
        issue(world, "late.png", 108, world.maker, first, journal)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world that all others are copies of, at rest."""
    built = build_world(tmp_path_factory.mktemp("template"))
    built.ledger.close()
    return built


@pytest.fixture(scope="session")
def make_world(template: World) -> Callable[[Path], World]:
    """Gives a world of its own to whoever changes the ledger; whoever asks closes it."""

    def copy(folder: Path) -> World:
        shutil.copytree(template.folder, folder, dirs_exist_ok=True)
        home = Home.open(folder / "home")
        store = open_store(home)
        assert isinstance(store, FolderStore)
        images = {name: folder / "images" / name for name in template.images}
        return replace(
            template,
            folder=folder,
            home=home,
            ledger=open_embedded_ledger(home),
            store=store,
            images=images,
            records=dict(template.records),
        )

    return copy


@pytest.fixture(scope="session")
def world(make_world: Callable[[Path], World], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world of tests that change nothing."""
    built = make_world(tmp_path_factory.mktemp("world"))
    yield built
    built.ledger.close()


@pytest.fixture
def own_store(world: World, tmp_path: Path) -> FolderStore:
    """A copy of the block store that a test may damage."""
    shutil.copytree(world.store.path, tmp_path / "blocks")
    return FolderStore(tmp_path / "blocks")


@pytest.fixture
def stranger(tmp_path: Path) -> Issuer:
    """An issuer nobody vouches for, who took the maker's name."""
    return create_issuer(Home.create(tmp_path / "stranger"), "Ada Example")
