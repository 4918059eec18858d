from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from provenance.adapter import AdapterManifest, sign_adapter
from provenance.adapter_check import require_fitting, require_sound
from provenance.base import STARTER, resolve_base
from provenance.dataset import verify_dataset
from provenance.errors import AdapterError, FormatError
from provenance.identity import Issuer
from provenance.ledger.accounts import create_account
from provenance.ledger.embedded import open_embedded_ledger
from provenance.manifest import DatasetManifest
from provenance.release import publish_release
from provenance.setup import set_up
from provenance.stores import MemoryStore
from provenance.trust import TrustStore
from tests.provenance.test_adapter import predicate

ASSETS = Path(__file__).parents[1] / "assets"
LAYER = "unet.down_blocks.0.resnets.0.conv1"

Sign = Callable[..., AdapterManifest]


def lora(layer: str, rows: int, columns: int, *sides: int) -> bytes:
    """LoRA of rank 2 for one layer."""
    down, up = np.ones((2, columns, *sides), np.float32), np.ones((rows, 2, *[1] * len(sides)), np.float32)
    return save({f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up})


@pytest.fixture
def sign(tmp_path: Path, issuer: Issuer, release: Path, trust: TrustStore) -> Sign:
    dataset: DatasetManifest = verify_dataset(release, trust)

    def sign(weights: bytes, **others: bytes) -> AdapterManifest:
        folder = tmp_path / "hostile" / "adapter"
        folder.mkdir(parents=True)
        for name, data in {"adapter": weights, **others}.items():
            (folder / f"{name}.safetensors").write_bytes(data)
        return sign_adapter(folder.parent, issuer=issuer, predicate=predicate(dataset.digest), dataset=dataset)

    return sign


def asset(name: str) -> bytes:
    return (ASSETS / f"{name}.safetensors").read_bytes()


def test_a_sound_adapter_passes(sign: Sign) -> None:
    require_sound(sign(lora(LAYER, 4, 6), kohya=save({"lora_unet_x.alpha": np.float32([1])})))


@pytest.mark.parametrize(
    ("weights", "others", "reason"),
    [
        ("adapter/nan", {}, "adapter.safetensors holds values that are not numbers"),
        ("adapter/unknown-part", {}, "no part of an adapter"),
        (None, {"embeddings": "adapter/many-vectors"}, "embeddings.safetensors holds something"),
        (None, {"kohya": "adapter/nan"}, "kohya.safetensors holds values that are not numbers"),
        (None, {"kohya": "dataset/overlapping"}, "kohya.safetensors has tensors that overlap"),
    ],
)
def test_signed_files_that_are_hostile_are_refused(
    sign: Sign, weights: str | None, others: dict[str, str], reason: str
) -> None:
    own = lora(LAYER, 4, 6) if weights is None else asset(weights)
    with pytest.raises(FormatError, match=reason):
        require_sound(sign(own, **{name: asset(each) for name, each in others.items()}))


def test_a_hostile_adapter_is_not_published(sign: Sign, release: Path, trust: TrustStore, tmp_path: Path) -> None:
    made = sign(asset("adapter/nan"))
    home = set_up(tmp_path / "publisher", name="A Studio").home
    account = create_account(home, "another")
    ledger = open_embedded_ledger(home)
    assert made.root is not None
    try:
        with pytest.raises(FormatError, match="not numbers"):
            publish_release(
                made.root, release, home=home, ledger=ledger, store=MemoryStore(), account=account, trust=trust
            )
        assert ledger.token_of_weights(made.weights_digest) is None
    finally:
        ledger.close()


def test_an_adapter_is_held_against_the_shapes_of_a_base(sign: Sign) -> None:
    base = resolve_base(STARTER)
    fitting = sign(lora(LAYER, 64, 64, 3, 3))
    require_fitting(fitting, base)


def test_an_adapter_of_other_shapes_than_the_bases_is_refused(sign: Sign) -> None:
    with pytest.raises(AdapterError, match="does not fit"):
        require_fitting(sign(lora(LAYER, 4, 6)), resolve_base(STARTER))
