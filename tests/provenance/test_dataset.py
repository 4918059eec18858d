from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from provenance.canonical import canonical_json, sha256_hex
from provenance.cid import file_cid
from provenance.dataset import sign_dataset, verify_dataset, verify_dataset_files
from provenance.dsse import IN_TOTO, Envelope
from provenance.errors import DatasetError, FileRefused, ProvenanceError, SignatureError
from provenance.files import write_file
from provenance.home import Home
from provenance.identity import Issuer, create_issuer, renew_issuer
from provenance.oms import sign_folder
from provenance.records import parse_records, serialise_records
from provenance.statement import Statement
from provenance.trust import TrustStore

LINE = "sea/whale é.webp"


def test_signed_release_verifies_with_the_same_digest(release: Path, trust: TrustStore) -> None:
    manifest = verify_dataset(release, trust)
    payload = base64.b64decode(json.loads((release / "dataset.dsse.json").read_bytes())["payload"])
    assert manifest.digest == sha256_hex(payload)
    assert [record.path for record in manifest.records] == ["data/boat.jpg", "data/fish.png", f"data/{LINE}"]
    assert [record.caption for record in manifest.records] == ["a white boat", "a red fish", "a blue whale é"]
    assert manifest.issuer.trusted
    assert manifest.licences == ("CC-BY-4.0",)
    assert (manifest.name, manifest.root) == ("pictures", release)


def test_signing_gives_the_manifest_that_verifying_gives(
    pictures: Path, tmp_path: Path, issuer: Issuer, trust: TrustStore
) -> None:
    signed = sign_dataset(pictures, tmp_path / "r", issuer=issuer, licence="MIT", holder="Ada", name="Sea")
    assert verify_dataset(tmp_path / "r", trust) == signed
    assert signed.name == "Sea"


def test_release_holds_the_pictures_and_nothing_but_the_table(release: Path, pictures: Path) -> None:
    files = {str(path.relative_to(release)) for path in release.rglob("*") if path.is_file()}
    assert files == {
        "dataset.dsse.json",
        "dataset.sig",
        "issuer.pem",
        "issuer.pub.pem",
        "dataset/records.jsonl",
        "dataset/croissant.json",
        "dataset/data/fish.png",
        "dataset/data/boat.jpg",
        f"dataset/data/{LINE}",
    }
    assert (release / "dataset/data/fish.png").read_bytes() == (pictures / "fish.png").read_bytes()


def test_records_hold_digest_size_and_cid_of_the_bytes(release: Path, trust: TrustStore) -> None:
    for record in verify_dataset(release, trust).records:
        data = (release / "dataset" / record.path).read_bytes()
        assert (record.size, record.sha256) == (len(data), sha256_hex(data))
        assert record.cid == file_cid(data, profile="unixfs-v1-2025")


def test_progress_counts_every_picture(pictures: Path, tmp_path: Path, issuer: Issuer, trust: TrustStore) -> None:
    seen: list[tuple[int, int]] = []
    sign_dataset(
        pictures,
        tmp_path / "r",
        issuer=issuer,
        licence="MIT",
        holder="Ada",
        progress=lambda done, total: seen.append((done, total)),
    )
    verify_dataset(tmp_path / "r", trust, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)] * 2


def test_unsigned_folder_is_refused_and_its_release_suggested(pictures: Path, release: Path, trust: TrustStore) -> None:
    with pytest.raises(DatasetError, match="prov dataset sign"):
        verify_dataset(pictures, trust)
    with pytest.raises(DatasetError) as refusal:
        verify_dataset(release / "dataset", trust)
    assert f"give {release}" in str(refusal.value)


def test_untrusted_issuer_is_refused_unless_asked_for(release: Path) -> None:
    with pytest.raises(SignatureError, match="not trusted"):
        verify_dataset(release, TrustStore())
    assert not verify_dataset(release, TrustStore(), require_trusted=False).issuer.trusted


def test_release_still_verifies_after_its_signer_renewed_the_key(release: Path, home: Home, trust: TrustStore) -> None:
    renew_issuer(home)
    assert verify_dataset(release, trust).issuer.trusted


def change(path: str, at: int | None = None) -> Callable[[Path], None]:
    def apply(release: Path) -> None:
        data = bytearray((release / path).read_bytes())
        data[len(data) // 2 if at is None else at] ^= 1
        (release / path).write_bytes(bytes(data))

    return apply


def remove(path: str) -> Callable[[Path], None]:
    return lambda release: (release / path).unlink()


def add(path: str, data: bytes = b"x") -> Callable[[Path], None]:
    def apply(release: Path) -> None:
        (release / path).parent.mkdir(parents=True, exist_ok=True)
        (release / path).write_bytes(data)

    return apply


def swap(first: str, second: str) -> Callable[[Path], None]:
    def apply(release: Path) -> None:
        one, other = (release / first).read_bytes(), (release / second).read_bytes()
        (release / first).write_bytes(other)
        (release / second).write_bytes(one)

    return apply


def rename(first: str, second: str) -> Callable[[Path], None]:
    return lambda release: (release / first).rename(release / second) and None


def link(path: str) -> Callable[[Path], None]:
    def apply(release: Path) -> None:
        data = (release / path).read_bytes()
        (release / path).unlink()
        (release.parent / "elsewhere").write_bytes(data)
        (release / path).symlink_to(release.parent / "elsewhere")

    return apply


def link_folder(release: Path) -> None:
    (release / "dataset/data").rename(release.parent / "elsewhere")
    (release / "dataset/data").symlink_to(release.parent / "elsewhere", target_is_directory=True)


FISH, BOAT = "dataset/data/fish.png", "dataset/data/boat.jpg"


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (change(FISH), "data/fish.png was changed after signing"),
        (change("dataset/records.jsonl"), "records.jsonl is not what was signed"),
        (change("dataset/croissant.json"), "croissant.json is not what was signed"),
        (change("dataset.dsse.json"), "dataset.dsse.json"),
        (change("dataset.sig"), "dataset.sig"),
        (change("issuer.pem", at=40), "issuer.pem"),
        (remove(FISH), "data/fish.png: is signed but missing"),
        (remove("dataset/records.jsonl"), "records.jsonl: is signed but missing"),
        (remove("dataset/croissant.json"), "croissant.json: is signed but missing"),
        (remove("dataset.dsse.json"), "not a signed dataset"),
        (remove("dataset.sig"), "dataset.sig does not exist"),
        (remove("issuer.pem"), "issuer.pem does not exist"),
        (add("dataset/data/extra.png"), "data/extra.png: is there but not signed"),
        (add("dataset/data/fish.txt"), "data/fish.txt: is there but not signed"),
        (add("dataset/data/.extra.png"), "hidden"),
        (add("dataset/data/FISH.png"), "same name as"),
        (swap(FISH, BOAT), "data/fish.png was changed after signing"),
        (rename(FISH, "dataset/data/other.png"), "data/other.png: is there but not signed"),
        (link(FISH), "data/fish.png: is a symbolic link"),
        (link("dataset/records.jsonl"), "records.jsonl: is a symbolic link"),
        (link("dataset.dsse.json"), "dataset.dsse.json cannot be opened"),
        (link_folder, "data: is a symbolic link"),
    ],
)
def test_tampered_release_is_refused_naming_the_file(
    tamper: Callable[[Path], None], reason: str, release: Path, trust: TrustStore
) -> None:
    tamper(release)
    with pytest.raises(ProvenanceError) as refusal:
        verify_dataset(release, trust)
    assert reason in str(refusal.value)
    assert refusal.value.exit_code == 1


def test_every_changed_picture_is_named(release: Path, trust: TrustStore) -> None:
    change(FISH)(release)
    change(BOAT)(release)
    with pytest.raises(DatasetError) as refusal:
        verify_dataset(release, trust)
    assert "2 faults" in str(refusal.value)


def resign(release: Path, issuer: Issuer, statement: Statement) -> None:
    envelope = Envelope.sign(statement.to_bytes(), IN_TOTO, issuer)
    (release / "dataset.dsse.json").write_bytes(envelope.to_json())
    (release / "dataset.sig").write_bytes(sign_folder(release / "dataset", issuer))


def signed_statement(release: Path) -> Statement:
    return Statement.parse(Envelope.parse((release / "dataset.dsse.json").read_bytes()).payload)


def test_bundle_of_other_files_than_the_statement_is_refused(release: Path, issuer: Issuer, trust: TrustStore) -> None:
    statement = signed_statement(release)
    add("dataset/data/extra.png")(release)
    resign(release, issuer, statement)
    remove("dataset/data/extra.png")(release)
    with pytest.raises(SignatureError, match=r"dataset\.sig signs other files"):
        verify_dataset(release, trust)


def test_bundle_by_another_key_is_refused(release: Path, trust: TrustStore, tmp_path: Path) -> None:
    eve = create_issuer(Home.create(tmp_path / "eve"), "Eve")
    (release / "dataset.sig").write_bytes(sign_folder(release / "dataset", eve))
    with pytest.raises(SignatureError, match=r"dataset\.sig has no valid signature"):
        verify_dataset(release, trust)


@pytest.mark.parametrize(
    "claim",
    [
        {"licences": ["CC0-1.0"]},
        {"records": {"count": 4, "file": "records.jsonl"}},
        {"created": "2020-01-01T00:00:00Z"},
        {"created": "yesterday"},
        {"note": "x"},
        {"name": "sea\x1b[31m"},
        {"name": " sea "},
    ],
)
def test_claim_that_contradicts_the_records_is_refused_even_when_signed(
    claim: dict[str, object], release: Path, issuer: Issuer, trust: TrustStore
) -> None:
    statement = signed_statement(release)
    resign(release, issuer, Statement(statement.subjects, statement.predicate_type, {**statement.predicate, **claim}))
    with pytest.raises(ProvenanceError, match=r"dataset\.dsse\.json|name has control"):
        verify_dataset(release, trust)


def test_signed_record_with_another_files_cid_is_refused(release: Path, issuer: Issuer, trust: TrustStore) -> None:
    path = release / "dataset/records.jsonl"
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    lines[0]["cid"], lines[1]["cid"] = lines[1]["cid"], lines[0]["cid"]
    path.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))
    statement = signed_statement(release)
    subjects = {**statement.subjects, "records.jsonl": sha256_hex(path.read_bytes())}
    resign(release, issuer, Statement(subjects, statement.predicate_type, statement.predicate))
    with pytest.raises(DatasetError, match="another file's CID"):
        verify_dataset(release, trust)


def test_record_left_out_of_a_signed_listing_is_refused(release: Path, issuer: Issuer, trust: TrustStore) -> None:
    path = release / "dataset/records.jsonl"
    path.write_bytes(serialise_records(parse_records(path.read_bytes())[1:]))
    statement = signed_statement(release)
    subjects = {**statement.subjects, "records.jsonl": sha256_hex(path.read_bytes())}
    claim = {**statement.predicate, "records": {"count": 2, "file": "records.jsonl"}}
    resign(release, issuer, Statement(subjects, statement.predicate_type, claim))
    with pytest.raises(DatasetError, match="different pictures"):
        verify_dataset(release, trust)


def test_picture_changed_after_verifying_is_never_read(release: Path, trust: TrustStore) -> None:
    manifest = verify_dataset(release, trust)
    record = next(record for record in manifest.records if record.path == "data/fish.png")
    assert manifest.read(record) == (release / FISH).read_bytes()
    shutil.copy(release / BOAT, release / FISH)
    with pytest.raises(DatasetError, match="changed after signing"):
        manifest.read(record)
    link(FISH)(release)
    with pytest.raises(FileRefused, match="not a link"):
        manifest.read(record)


def test_racing_changes_never_give_unsigned_bytes(release: Path, trust: TrustStore) -> None:
    manifest = verify_dataset(release, trust)
    record = next(record for record in manifest.records if record.path == "data/fish.png")
    signed, stop = (release / FISH).read_bytes(), threading.Event()

    def mutate() -> None:
        round = 0
        while not stop.is_set():
            round += 1
            write_file(release / FISH, signed if round % 2 else signed[::-1])

    thread = threading.Thread(target=mutate)
    thread.start()
    outcomes = {"signed": 0, "refused": 0}
    try:
        while min(outcomes.values()) < 20:
            try:
                assert manifest.read(record) == signed
                outcomes["signed"] += 1
            except DatasetError:
                outcomes["refused"] += 1
    finally:
        stop.set()
        thread.join()


def test_interrupted_signing_leaves_nothing_behind(pictures: Path, tmp_path: Path, issuer: Issuer) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        sign_dataset(pictures, tmp_path / "r", issuer=issuer, licence="MIT", holder="Ada", progress=interrupt)
    assert sorted(tmp_path.iterdir()) == before


def test_release_verifies_from_any_store_of_bytes_with_and_without_pictures(release: Path, trust: TrustStore) -> None:
    files = {str(path.relative_to(release)): path.read_bytes() for path in release.rglob("*") if path.is_file()}
    manifest = verify_dataset_files(files.__getitem__, trust, with_data=True)
    assert manifest == verify_dataset_files(files.__getitem__, trust, with_data=False)
    assert manifest.root is None
    assert manifest.read(manifest.records[0]) == files["dataset/data/boat.jpg"]
    for name in [name for name in files if name.startswith("dataset/data/")]:
        del files[name]
    verify_dataset_files(files.__getitem__, trust, with_data=False)
    with pytest.raises(KeyError):
        verify_dataset_files(files.__getitem__, trust, with_data=True)
