"""The order of generation: no licence, no screening, no record — no picture."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from generation.adapters import Adapter
from generation.errors import GenerationError, LicenceRefused, PromptBlocked
from generation.loading import load_pipeline
from generation.order import generate
from generation.request import GenerationRequest
from provenance.base import resolve_base
from provenance.credentials import read_credentials
from provenance.errors import AdapterError, KeyRefused, ProvenanceError, SignatureError
from provenance.files import read_file
from provenance.fingerprint import MATCH_THRESHOLD, distance
from provenance.journal import Journal
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import load_account, load_keystore
from provenance.ledger.embedded import open_embedded_ledger
from provenance.ledger.licences import Terms
from provenance.record import ImageRecord
from provenance.sealing import public_key_of, wrap_for
from provenance.setup import set_up
from safety.errors import SafetyError
from safety.watermark import detect
from tests.generation.conftest import Published

PROMPT = "a red fish in the desert"


def pictures_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png")) if folder.exists() else []


def hand_over(published: Published) -> None:
    """The maker wraps the weights' key for the licensee."""
    home, reader = published.home, open_reader(published.home)
    public_key = public_key_of(load_keystore(home, "licensee").private_key)
    wrap_for(home, reader, reader.token(published.token), load_keystore(home), public_key)
    reader.close()


def request_for(published: Published, *prompts: str, steps: int = 4) -> GenerationRequest:
    return GenerationRequest(prompts or (PROMPT,), model=str(published.token), seed=5, steps=steps)


def test_a_picture_has_a_record_a_watermark_and_credentials(published: Published, tmp_path: Path) -> None:
    issue = generate(request_for(published), home=published.home, out=tmp_path / "out")
    (image,) = issue.images
    with Journal.of_home(published.home) as journal:
        record = journal.record(image.record.stream, image.record.serial)
    assert isinstance(record, ImageRecord)
    assert record == image.record
    assert record.token == published.token
    assert record.parameters["adapter_scale"] == 1.0
    with Image.open(image.path) as picture:
        assert picture.size == (256, 256)
        assert detect(np.asarray(picture.convert("RGB"))).payload == int(record.payload, 16)
    root = (published.home.path / "identity" / "root.pem").read_bytes()
    credentials = read_credentials(read_file(image.path), "image/png", root)
    assert credentials.state == "trusted"
    assert credentials.assertion is not None
    assert credentials.assertion.payload == record.payload


def test_the_same_seed_draws_the_same_picture_under_the_next_serial(published: Published, tmp_path: Path) -> None:
    first = generate(request_for(published), home=published.home, out=tmp_path / "a").images[0].record
    again = generate(request_for(published), home=published.home, out=tmp_path / "b").images[0].record
    assert distance(first.fingerprint, again.fingerprint) < MATCH_THRESHOLD / 2
    assert first.serial + 1 == again.serial


def test_prompts_are_recorded_as_a_keyed_digest_unless_asked(published: Published, tmp_path: Path) -> None:
    hidden = generate(request_for(published), home=published.home, out=tmp_path / "a").images[0]
    clear = generate(
        replace(request_for(published), clear_prompt=True), home=published.home, out=tmp_path / "b"
    ).images[0]
    assert set(hidden.record.prompt) == {"hmac"}
    assert PROMPT.encode() not in read_file(hidden.path) + hidden.record.to_bytes()
    assert clear.record.prompt == {"text": PROMPT}


def test_an_account_without_a_licence_is_refused_until_it_buys_one(published: Published, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(LicenceRefused, match="holds no valid licence") as refusal:
        generate(request_for(published), home=published.home, account="licensee", out=out)
    assert f"prov license buy {published.token}" in str(refusal.value)
    assert pictures_in(out) == []
    ledger = open_ledger(published.home)
    ledger.buy(load_account(published.home, "licensee"), published.token)
    ledger.close()
    with pytest.raises(KeyRefused, match="holds no key") as refusal:
        generate(request_for(published), home=published.home, account="licensee", out=out)
    assert f"prov keys fetch {published.token}" in str(refusal.value)
    assert pictures_in(out) == []
    hand_over(published)
    generate(request_for(published), home=published.home, account="licensee", out=out)
    assert len(pictures_in(out)) == 1


def test_a_key_kept_after_its_licence_ended_draws_nothing(published: Published, tmp_path: Path) -> None:
    hand_over(published)
    with pytest.raises(LicenceRefused):
        generate(request_for(published), home=published.home, account="licensee", out=tmp_path / "out")
    assert pictures_in(tmp_path / "out") == []


def test_sealed_weights_are_opened_in_memory_only(published: Published, tmp_path: Path) -> None:
    generate(request_for(published), home=published.home, out=tmp_path / "out")
    needles = [file.read_bytes()[-64:] for file in (published.adapter / "adapter").glob("*.safetensors")]
    assert len(needles) == 3
    for folder in (published.home.path, tmp_path / "out"):
        for path in filter(Path.is_file, folder.rglob("*")):
            assert not any(needle in path.read_bytes() for needle in needles), path


def test_a_revoked_licence_no_longer_generates(published: Published, tmp_path: Path) -> None:
    ledger = open_ledger(published.home)
    licensee = load_account(published.home, "licensee")
    ledger.buy(licensee, published.token)
    ledger.revoke(load_account(published.home), published.token, licensee.address, reason="terms were broken")
    ledger.close()
    with pytest.raises(LicenceRefused):
        generate(request_for(published), home=published.home, account="licensee", out=tmp_path / "out")


def test_a_withdrawn_adapter_no_longer_generates(published: Published, tmp_path: Path) -> None:
    ledger = open_ledger(published.home)
    ledger.revoke_adapter(load_account(published.home), published.token, reason="a consent was withdrawn")
    ledger.close()
    with pytest.raises(LicenceRefused, match="withdrawn"):
        generate(request_for(published), home=published.home, out=tmp_path / "out")


def test_a_licence_draws_no_more_than_its_quota(published: Published, tmp_path: Path) -> None:
    hand_over(published)
    ledger = open_ledger(published.home)
    licensee = load_account(published.home, "licensee")
    offer = ledger.make_offer(load_account(published.home), published.token, Terms(price=1, quota=2))
    ledger.buy(licensee, published.token, number=offer.number)
    streams = len(ledger.streams())
    with pytest.raises(LicenceRefused, match="allows 2 images") as refusal:
        generate(request_for(published, *[PROMPT] * 3), home=published.home, account="licensee", out=tmp_path)
    assert refusal.value.expected == "at most 2 more"
    assert len(ledger.streams()) == streams
    generate(request_for(published), home=published.home, account="licensee", out=tmp_path)
    # What waits for its anchor counts too.
    with pytest.raises(LicenceRefused, match="allows 2 images") as refusal:
        generate(request_for(published, PROMPT, PROMPT), home=published.home, account="licensee", out=tmp_path)
    assert refusal.value.expected == "at most 1 more"
    ledger.consume(licensee, published.token, 2)
    with pytest.raises(LicenceRefused, match="no valid licence") as refusal:
        generate(request_for(published), home=published.home, account="licensee", out=tmp_path)
    assert refusal.value.found == "0 images left"
    ledger.close()


def test_an_adapter_taken_down_draws_for_nobody(published: Published, tmp_path: Path) -> None:
    ledger = open_embedded_ledger(published.home)
    owner = load_account(published.home)
    ledger.appoint_safety(ledger.operator_account(), owner.address)
    ledger.take_down(owner, published.token, reason="5a" * 32)
    with pytest.raises(LicenceRefused, match="taken down"):
        generate(request_for(published), home=published.home, out=tmp_path / "out")
    ledger.reinstate(owner, published.token, reason="5b" * 32)
    generate(request_for(published), home=published.home, out=tmp_path / "out")
    ledger.close()


@pytest.mark.parametrize("prompt", ["a purple skull at night", "a s.k.u.l.l in the snow", "five skulls"])
def test_a_blocked_prompt_is_refused_and_logged_without_its_words(
    published: Published, tmp_path: Path, prompt: str
) -> None:
    out = tmp_path / "out"
    with pytest.raises(PromptBlocked):
        generate(request_for(published, PROMPT, prompt), home=published.home, out=out)
    assert pictures_in(out) == []
    (line,) = (published.home.path / "safety.log").read_text().splitlines()
    assert prompt not in line
    assert json.loads(line)


def test_a_forbidden_picture_is_never_written_whatever_its_prompt_was(published: Published, tmp_path: Path) -> None:
    from safety.policy import STARTER_POLICY, Policy

    text = Path(STARTER_POLICY).read_text()
    assert "skull" in text
    policy = tmp_path / "no-words.yaml"
    policy.write_text("\n".join(line for line in text.splitlines()).replace("terms: [skull", "terms: [unmentioned"))
    Policy.load(policy)
    request = replace(request_for(published, "a purple skull at night", steps=20), policy=policy, model=None)
    issue = generate(request, home=published.home, out=tmp_path / "out")
    assert issue.images == ()
    assert len(issue.blocked) == 1
    assert "skull" in issue.blocked[0].reason
    assert pictures_in(tmp_path / "out") == []


def test_a_content_filter_that_cannot_load_blocks_everything(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safety.clip_model

    shutil.copytree(safety.clip_model.STARTER_CLIP, tmp_path / "broken")
    (tmp_path / "broken" / "open_clip_model.safetensors").write_bytes(b"\x00" * 100)
    monkeypatch.setattr(safety.clip_model, "STARTER_CLIP", tmp_path / "broken")
    out = tmp_path / "out"
    with pytest.raises(SafetyError, match="nothing is generated without it"):
        generate(request_for(published), home=published.home, out=out)
    assert pictures_in(out) == []


def test_an_unpublished_adapter_is_refused(published: Published, tmp_path: Path) -> None:
    # The same maker on a ledger of its own, where this adapter was never minted.
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(published.home.path / "identity", elsewhere / "identity")
    home = set_up(elsewhere, name="Test Studio").home
    with pytest.raises(GenerationError, match="not published"):
        generate(replace(request_for(published), model=str(published.adapter)), home=home, out=tmp_path / "out")
    assert pictures_in(tmp_path / "out") == []


def test_a_strangers_adapter_is_refused(published: Published, tmp_path: Path) -> None:
    home = set_up(tmp_path / "elsewhere", name="Somebody").home
    with pytest.raises(SignatureError, match="not trusted here"):
        generate(replace(request_for(published), model=str(published.adapter)), home=home, out=tmp_path / "out")


def test_an_adapter_folder_draws_under_its_token(published: Published, tmp_path: Path) -> None:
    request = replace(request_for(published), model=str(published.adapter))
    issue = generate(request, home=published.home, out=tmp_path / "out")
    assert issue.images[0].record.token == published.token


def test_weights_that_do_not_fit_the_base_are_refused() -> None:
    import safetensors.torch
    import torch

    stray = {f"unet.nowhere.lora_{part}.weight": torch.zeros(4, 4) for part in "AB"}
    with pytest.raises(AdapterError, match="does not fit"):
        load_pipeline(resolve_base("starter"), Adapter(safetensors.torch.save(stray)))


def test_an_unknown_token_is_refused(published: Published, tmp_path: Path) -> None:
    with pytest.raises(ProvenanceError, match="99"):
        generate(replace(request_for(published), model="99"), home=published.home, out=tmp_path / "out")


def test_another_base_than_the_adapters_is_refused(published: Published, tmp_path: Path) -> None:
    other = tmp_path / "other-base"
    shutil.copytree(resolve_base("starter").folder, other)
    config = other / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("trailing", "leading"))
    with pytest.raises(GenerationError, match="another base"):
        generate(replace(request_for(published), base=str(other)), home=published.home, out=tmp_path / "out")


def test_a_killed_run_leaves_no_picture_without_a_record(published: Published, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [
        sys.executable, "-m", "cli.main", "generate", PROMPT, "--model", str(published.token),
        "-n", "40", "--steps", "2", "--seed", "1", "--out", str(out),
    ]  # fmt: skip
    environment = {**os.environ, "PROV_HOME": str(published.home.path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(pictures_in(out)) < 2 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    written = pictures_in(out)
    assert written
    with Journal.of_home(published.home) as journal:
        for path in written:
            _, stream, serial = path.stem.split("-")
            record = journal.record(int(stream), int(serial))
            assert isinstance(record, ImageRecord)
            assert len(read_file(path)) == record.image.bytes
