"""Whatever is changed, removed or swapped in a release, no image of it verifies as genuine, and its folder is refused.

In the published tree the ledger is forged too, so that it points at the forged tree: only the digests are left to tell.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from provenance.adapter import verify_adapter
from provenance.dataset import verify_dataset
from provenance.errors import ProvenanceError
from provenance.stores import add_tree
from provenance.verify import Verdict

if TYPE_CHECKING:
    from conftest import World

WEIGHTS, CONFIG = "adapter/adapter.safetensors", "adapter/config.json"
TRAINING, TRAINING_SIGNATURE = "adapter.dsse.json", "adapter.sig"
DATASET, DATASET_SIGNATURE = "dataset.dsse.json", "dataset.sig"
RECORDS, DESCRIPTION, PICTURE = "dataset/records.jsonl", "dataset/croissant.json", "dataset/data/00.png"

# (file, what is done, layer that catches it, what it says)
PUBLISHED = [
    (WEIGHTS, "changed", "adapter", "adapter.safetensors was changed after signing"),
    (WEIGHTS, "removed", "adapter", "adapter/adapter.safetensors is not in"),
    (WEIGHTS, "swapped", "adapter", "adapter.safetensors was changed after signing"),
    (CONFIG, "changed", "adapter", "config.json was changed after signing"),
    (CONFIG, "removed", "adapter", "adapter/config.json is not in"),
    (CONFIG, "swapped", "adapter", "config.json was changed after signing"),
    (TRAINING, "changed", "adapter", "adapter.dsse.json"),
    (TRAINING, "removed", "adapter", "adapter.dsse.json is not in"),
    (TRAINING, "swapped", "adapter", "adapter.sig"),
    (TRAINING_SIGNATURE, "changed", "adapter", "adapter.sig"),
    (TRAINING_SIGNATURE, "removed", "adapter", "adapter.sig is not in"),
    (TRAINING_SIGNATURE, "swapped", "adapter", "adapter.sig"),
    (DATASET, "changed", "dataset", "dataset.dsse.json"),
    (DATASET, "removed", "dataset", "dataset.dsse.json is not in"),
    (DATASET, "swapped", "dataset", "dataset.sig"),
    (DATASET_SIGNATURE, "changed", "dataset", "dataset.sig"),
    (DATASET_SIGNATURE, "removed", "dataset", "dataset.sig is not in"),
    (DATASET_SIGNATURE, "swapped", "dataset", "dataset.sig"),
    (RECORDS, "changed", "dataset", "records.jsonl is not what was signed"),
    (RECORDS, "removed", "dataset", "dataset/records.jsonl is not in"),
    (RECORDS, "swapped", "dataset", "records.jsonl is not what was signed"),
    (RECORDS, "line removed", "dataset", "records.jsonl is not what was signed"),
    (RECORDS, "lines swapped", "dataset", "records.jsonl is not what was signed"),
    (RECORDS, "caption changed", "dataset", "records.jsonl is not what was signed"),
    (RECORDS, "captions swapped", "dataset", "records.jsonl is not what was signed"),
    (DESCRIPTION, "changed", "dataset", "croissant.json is not what was signed"),
    (DESCRIPTION, "removed", "dataset", "dataset/croissant.json is not in"),
    (DESCRIPTION, "swapped", "dataset", "croissant.json is not what was signed"),
    (PICTURE, "changed", "dataset", "data/00.png was changed after signing"),
    (PICTURE, "removed", "dataset", "data/00.png"),
    (PICTURE, "swapped", "dataset", "data/00.png was changed after signing"),
    (PICTURE, "renamed", "dataset", "data/00.png"),
    (PICTURE, "names swapped", "dataset", "data/00.png was changed after signing"),
    ("issuer.pem", "changed", "dataset", "issuer"),
    ("issuer.pem", "removed", "dataset", "issuer.pem is not in"),
    ("issuer.pem", "of a stranger", "dataset", "no certificate for the signing key"),
    ("release.json", "changed", "adapter", "release"),
    ("release.json", "removed", "adapter", "release.json is not in"),
    ("release.json", "swapped", "adapter", "the published release has other weights than token"),
    ("terms.json", "changed", "adapter", "the published release has other terms than token"),
    ("terms.json", "removed", "adapter", "terms.json is not in"),
    ("terms.json", "swapped", "adapter", "the published release has other terms than token"),
    ("the whole tree", "swapped", "adapter", "the published release has other weights than token"),
    ("adapter and its statement", "swapped", "adapter", "the training statement names other weights than token"),
    ("dataset and its statement", "swapped", "dataset", "the dataset statement is not the one of token"),
]

BOTH_WITH_THE_REST_OF_THE_RELEASE = {
    "adapter and its statement": (WEIGHTS, CONFIG, TRAINING, TRAINING_SIGNATURE),
    "dataset and its statement": (DATASET, DATASET_SIGNATURE, RECORDS, DESCRIPTION),
}


def tampered(
    files: dict[str, bytes], others: dict[str, bytes], name: str, what: str, stranger: bytes
) -> dict[str, bytes]:
    """The files of a release after one act of tampering; ``others`` is another valid release."""
    forged = dict(files)
    if name in BOTH_WITH_THE_REST_OF_THE_RELEASE:
        return forged | {part: others[part] for part in BOTH_WITH_THE_REST_OF_THE_RELEASE[name]}
    if name == "the whole tree":
        return dict(others)
    data = bytearray(files[name])
    lines = bytes(data).splitlines(keepends=True)
    match what:
        case "changed" if name == "issuer.pem":
            # Inside the leaf's base64: elsewhere PEM readers pass over much.
            place = data.index(b"\n") + 200
            data[place : place + 1] = b"A" if data[place : place + 1] == b"B" else b"B"
            forged[name] = bytes(data)
        case "changed":
            data[len(data) // 2] ^= 1
            forged[name] = bytes(data)
        case "removed":
            del forged[name]
        case "swapped":
            forged[name] = others[name.replace("00", "20")]
        case "line removed":
            forged[name] = b"".join(lines[1:])
        case "lines swapped":
            forged[name] = b"".join([lines[1], lines[0], *lines[2:]])
        case "caption changed":
            forged[name] = bytes(data).replace(b"picture number 0", b"picture number 9")
        case "captions swapped":
            swapped = bytes(data).replace(b"number 0", b"number _").replace(b"number 1", b"number 0")
            forged[name] = swapped.replace(b"number _", b"number 1")
        case "renamed":
            forged["dataset/data/renamed.png"] = forged.pop(name)
        case "names swapped":
            other = name.replace("00", "01")
            forged[name], forged[other] = forged[other], forged[name]
        case "of a stranger":
            forged[name] = stranger
    assert forged != files
    return forged


@pytest.mark.parametrize(
    ("name", "what", "layer", "message"), PUBLISHED, ids=lambda value: str(value).replace(" ", "-")
)
def test_tampering_with_a_published_release_is_found(
    world: World, own_store, stranger, name: str, what: str, layer: str, message: str
) -> None:
    token, other = world.tokens
    forged = tampered(world.tree(token.cid), world.tree(other.cid), name, what, stranger.certificates_pem)
    cid = str(add_tree(own_store, forged))
    report = world.verify("fish.png", reader=world.pointing(token.cid, cid), store=own_store)
    assert report.verdict is Verdict.TAMPERED
    assert report.exit_code == 1
    assert message in report.layer(layer).detail
    assert {found.name for found in report.layers if found.status == "failed"} >= {layer}


FOLDER_OF_THE_DATASET = {DATASET, DATASET_SIGNATURE, RECORDS, DESCRIPTION, PICTURE, "issuer.pem"}
FOLDER_OF_THE_ADAPTER = {WEIGHTS, CONFIG, TRAINING, TRAINING_SIGNATURE, "issuer.pem"}
SINGLE = [(name, what) for name, what, _, _ in PUBLISHED if name not in ("release.json", "terms.json") and "." in name]


@pytest.mark.parametrize(("name", "what"), SINGLE, ids=lambda value: str(value).replace(" ", "-"))
def test_tampering_with_a_release_folder_is_refused(
    world: World, tmp_path: Path, stranger, name: str, what: str
) -> None:
    of_dataset = name in FOLDER_OF_THE_DATASET
    sources = [d.root for d in world.datasets] if of_dataset else list(world.adapters)
    folders = [
        {str(path.relative_to(source)): path.read_bytes() for path in source.rglob("*") if path.is_file()}
        for source in sources
    ]
    forged = tampered(folders[0], folders[1], name, what, stranger.certificates_pem)
    for file, data in forged.items():
        target = tmp_path / "release" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    verify = verify_dataset if of_dataset else verify_adapter
    with pytest.raises(ProvenanceError) as refusal:
        verify(tmp_path / "release", world.trust)
    assert refusal.value.exit_code == 1
    assert name.rsplit("/", 1)[-1].partition(".")[0] in str(refusal.value) or "issuer" in str(refusal.value)


@pytest.mark.parametrize("verify", [verify_dataset, verify_adapter])
def test_an_untouched_release_folder_verifies(world: World, tmp_path: Path, verify) -> None:
    source = world.datasets[0].root if verify is verify_dataset else world.adapters[0]
    shutil.copytree(source, tmp_path / "release")
    verify(tmp_path / "release", world.trust)


@pytest.mark.parametrize("verify", [verify_dataset, verify_adapter])
def test_a_file_added_to_a_release_folder_is_refused(world: World, tmp_path: Path, verify) -> None:
    source, tree = (
        (world.datasets[0].root, "dataset/data") if verify is verify_dataset else (world.adapters[0], "adapter")
    )
    shutil.copytree(source, tmp_path / "release")
    (tmp_path / "release" / tree / "extra.png").write_bytes(b"extra")
    with pytest.raises(ProvenanceError, match=r"extra\.png"):
        verify(tmp_path / "release", world.trust)
