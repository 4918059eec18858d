"""Inception weights by path: the network of the FID and torchvision's, and everything that is no such file."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import inception as torchvision_inception
from torchvision.models.inception import Inception3

from generation.errors import GenerationError
from generation.evaluation.features import open_features
from generation.evaluation.inception import open_inception
from provenance.canonical import sha256_hex
from provenance.errors import FormatError, ProvenanceError, UsageError

Weights = dict[str, torch.Tensor]


def random_weights(classes: int) -> Weights:
    """Random weights in half precision, with statistics that are not those of a fresh network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(classes)
        state: Weights = Inception3(
            num_classes=classes, aux_logits=False, transform_input=False, init_weights=False
        ).state_dict()
        for name, tensor in state.items():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.1)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith("conv.weight"):
                tensor.mul_(1.6)
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


@pytest.fixture(scope="module")
def fid_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "fid.safetensors"
    save_file(random_weights(1008), path)
    return path


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (side, side + 20, 3), dtype=np.uint8) for side in (64, 320)]


def test_the_fid_network_pools_without_its_borders_and_at_last_by_maximum(
    fid_file: Path, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = open_inception(fid_file)
    found = network.features(pictures)
    assert (network.name, network.digest) == ("inception-fid", sha256_hex(fid_file.read_bytes()))
    assert found.shape == (2, network.dimensions) == (2, 2048)
    plain = Inception3(num_classes=1008, aux_logits=False, transform_input=False, init_weights=False).eval()
    plain.load_state_dict({name: tensor.float() for name, tensor in load_file(fid_file).items()})
    plain.fc = torch.nn.Identity()
    batch = torch.cat([network._input(picture) for picture in pictures])
    with torch.inference_mode():
        assert not np.allclose(plain(batch).numpy(), found, atol=1e-3)
        # The same by another way: torchvision's own code, whose pooling is replaced call by call.
        monkeypatch.setattr(torchvision_inception, "F", pooling_of_the_fid())
        expected = plain(batch).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def pooling_of_the_fid() -> Any:
    """torch's functions, in which the first eight average pools leave out borders and the ninth takes the maximum."""
    real, calls = torch.nn.functional, []

    def pool(x: torch.Tensor, kernel_size: int, stride: int, padding: int) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 9:
            return real.max_pool2d(x, kernel_size, stride, padding)
        ones = torch.ones(1, 1, *x.shape[2:])
        counts = real.avg_pool2d(ones, kernel_size, stride, padding)
        return real.avg_pool2d(x, kernel_size, stride, padding) / counts

    return types.SimpleNamespace(
        avg_pool2d=pool, max_pool2d=real.max_pool2d, relu=real.relu, adaptive_avg_pool2d=real.adaptive_avg_pool2d
    )


def test_torchvisions_own_network_is_taken_as_it_is(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    weights = random_weights(1000) | {"AuxLogits.fc.weight": torch.zeros(1000, 768)}
    save_file(weights, tmp_path / "imagenet.safetensors")
    network = open_inception(tmp_path / "imagenet.safetensors")
    assert network.name == "inception-imagenet"
    plain = Inception3(num_classes=1000, aux_logits=False, transform_input=False, init_weights=False).eval()
    plain.load_state_dict({n: t.float() for n, t in weights.items() if not n.startswith("AuxLogits.")})
    plain.fc = torch.nn.Identity()
    with torch.inference_mode():
        expected = plain(torch.cat([network._input(picture) for picture in pictures])).numpy()
    np.testing.assert_allclose(network.features(pictures), expected, atol=1e-6)
    assert float(network._input(np.full((4, 4, 3), 255, np.uint8)).max()) == pytest.approx(1)


def without(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {key: tensor for key, tensor in weights.items() if key != name}


def broken(name: str, tensor: torch.Tensor) -> Callable[[Weights], Weights]:
    return lambda weights: weights | {name: tensor}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("Mixed_6c.branch_pool.bn.running_var"), "running_var missing"),
        (without("fc.weight"), "0 classes"),
        (broken("fc.weight", torch.zeros(10, 2048)), "10 classes"),
        (broken("Mixed_7a.branch3x3_1.conv.weight", torch.zeros(3, 3)), "(3, 3)"),
        (broken("backdoor.weight", torch.zeros(1)), "backdoor.weight unknown"),
        (broken("fc.bias", torch.full((1008,), torch.nan)), "NaN"),
        (broken("fc.bias", torch.zeros(1008, dtype=torch.float64)), "F64"),
    ],
)
def test_other_weights_are_refused(
    change: Callable[[Weights], Weights], told: str, fid_file: Path, tmp_path: Path
) -> None:
    save_file(change(load_file(fid_file)), tmp_path / "other.safetensors")
    with pytest.raises(GenerationError) as refused:
        open_inception(tmp_path / "other.safetensors")
    assert told in str(refused.value)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, tmp_path / "weights.pth")
    with pytest.raises(FormatError, match="not a safetensors file"):
        open_inception(tmp_path / "weights.pth")


@pytest.mark.parametrize("wanted", ["resnet", "inception", "inception:", "clip:", ""])
def test_features_of_no_known_kind_are_refused(wanted: str) -> None:
    with pytest.raises(UsageError, match="not known"):
        open_features(wanted, "cpu")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises((ProvenanceError, OSError)):
        open_features(f"inception:{tmp_path / 'nowhere.safetensors'}", "cpu")
