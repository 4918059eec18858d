"""`prov verify --rederive`: who decided what is decided again, and a record that lies about it is caught."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from provenance.anchoring import anchor_pending
from provenance.errors import Unavailable
from provenance.images import SUFFIXES, decode_image
from provenance.issuing import encode_image, issue_image
from provenance.journal import Journal
from provenance.placement import watermark_entry
from provenance.rederivation import TOLERANCE, Outcome, Rederivation, compared
from provenance.verify import Report, Verdict
from provenance.verify.evidence import HomeEvidence
from provenance.verify.verifier import verify_with
from safety.content import open_content_filter, screen_or_refuse
from safety.decision import Decision
from safety.policy import STARTER_POLICY, Policy
from safety.prompt_stages import open_prompt_filter
from safety.starter.scenes import FORBIDDEN_OBJECT, Scene, draw_scene
from safety.watermark import embed_verified
from tests.provenance.verify.conftest import making

if TYPE_CHECKING:
    from conftest import World

PROMPT = "a red fish in the desert"
FISH, SKULL = Scene("fish", "red", "desert"), Scene(FORBIDDEN_OBJECT, "purple", "night")


@dataclass
class Decided:
    """A world with pictures on which a real filter decided, honestly or not."""

    world: World
    policy: Policy
    rules: Path
    other: Path
    loaded: dict[tuple[str, ...], Rederivation] = field(default_factory=dict)

    def again(self, image: str | Path, *, fresh: bool = False, **options: Any) -> Report:
        """Verifies an image, deciding again; filters stay loaded from test to test unless ``fresh``."""
        path = self.world.images[image] if isinstance(image, str) else image
        evidence = HomeEvidence(self.world.reader(), self.world.store)
        rederive = Rederivation(**options)
        if not fresh and set(options) <= {"policies"}:
            rederive = self.loaded.setdefault(tuple(p.digest for p in options.get("policies", ())), rederive)
        return verify_with(path, evidence, self.world.trust, rederive=rederive)


def issue(
    world: World,
    name: str,
    scene: Scene,
    journal: Journal,
    policy: Policy,
    *,
    prompt: dict[str, str],
    lie: Callable[[Decision], dict] = Decision.to_json,
    words: Decision | None = None,
) -> None:
    """Draws, marks, decides on what will be delivered, lies about it or not, and issues."""
    origin = world.origin(world.maker, None, journal)
    serial = journal.reserve(origin.stream)
    picture = np.asarray(draw_scene(scene, np.random.default_rng(serial), 256))
    marked, detection = embed_verified(picture, origin.payload(serial))
    encoded = encode_image(marked, SUFFIXES[Path(name).suffix])
    delivered = np.asarray(decode_image(encoded, name))
    shown = screen_or_refuse(open_content_filter(policy, "starter"), delivered)
    words = words or open_prompt_filter(policy).screen(PROMPT)
    how = replace(
        making(watermark_entry(detection)),
        prompt=prompt,
        parameters={"base": "starter", "seed": serial},
        safety=(words.to_json(), lie(shown)),
    )
    path = world.folder / "images" / name
    issue_image(marked, path, origin=origin, serial=serial, making=how, issuer=world.issuer, journal=journal)
    world.images[name] = path


def lower(shown: Decision) -> dict:
    """What a dishonest issuer writes: the same filter, another score."""
    return replace(
        shown, allowed=True, scores={"skull": 0.0123}, rule=None, reason=Decision.reason, warnings=()
    ).to_json()


def looser(shown: Decision) -> dict:
    """The true score, under a threshold that the policy does not have."""
    return replace(shown, thresholds={"skull": 0.999}).to_json()


def blind(shown: Decision) -> dict:
    """A decision on no concept at all."""
    return replace(
        shown, allowed=True, scores={}, thresholds={}, rule=None, reason=Decision.reason, warnings=()
    ).to_json()


@pytest.fixture(scope="module")
def decided(make_world: Callable[[Path], World], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decided]:
    world = make_world(tmp_path_factory.mktemp("rederived"))
    policy = Policy.load(STARTER_POLICY)
    rules, other = world.folder / "rules.yaml", world.folder / "other.yaml"
    rules.write_text(STARTER_POLICY.read_text().replace("name: starter", "name: house-rules"))
    other.write_text(STARTER_POLICY.read_text().replace("name: starter", "name: another"))
    hidden, clear = {"hmac": "aa" * 32}, {"text": PROMPT}
    own = Policy.load(rules)
    asked = open_prompt_filter(policy).screen(PROMPT)
    with Journal.of_home(world.home) as journal:
        issue(world, "honest.png", FISH, journal, policy, prompt=clear)
        issue(world, "honest.jpg", FISH, journal, policy, prompt=clear)
        issue(world, "honest.webp", FISH, journal, policy, prompt=clear)
        issue(world, "hidden.png", FISH, journal, policy, prompt=hidden)
        issue(world, "house-rules.png", FISH, journal, own, prompt=clear)
        issue(world, "forged.png", SKULL, journal, policy, prompt=clear, lie=lower)
        issue(world, "looser.png", FISH, journal, policy, prompt=clear, lie=looser)
        issue(world, "blind.png", SKULL, journal, policy, prompt=clear, lie=blind)
        issue(world, "asked.png", FISH, journal, policy, prompt={"text": "a purple skull at night"}, words=asked)
        issue(
            world,
            "other-words.png",
            FISH,
            journal,
            policy,
            prompt={"text": "a purple skull at night"},
            words=replace(asked, filter_digest="00" * 32),
        )
        issue(
            world,
            "other-model.png",
            FISH,
            journal,
            policy,
            prompt=clear,
            lie=lambda shown: replace(shown, model_digest="00" * 32).to_json(),
        )
        issue(
            world,
            "other-code.png",
            FISH,
            journal,
            policy,
            prompt=clear,
            lie=lambda shown: replace(shown, filter_digest="00" * 32).to_json(),
        )
        issue(world, "earlier.png", FISH, journal, policy, prompt=clear, lie=without_model)
        anchor_pending(world.home, world.ledger, world.store, journal, world.maker)
    yield Decided(world, policy, rules, other)
    world.ledger.close()


def without_model(shown: Decision) -> dict:
    """A decision record as earlier versions wrote it."""
    return {name: value for name, value in shown.to_json().items() if name not in ("model", "warnings", "margins")}


@pytest.mark.parametrize("name", ["honest.png", "honest.webp", "honest.jpg"])
def test_an_untouched_picture_scores_as_on_record(decided: Decided, name: str) -> None:
    report = decided.again(name)
    assert report.verdict is Verdict.AUTHENTIC
    assert report.layer("safety").status == "ok"
    shown = r"prompt: allowed again by its words; output: skull (0\.\d{6}) again, \1 on record, within 0.02: confirmed"
    assert re.fullmatch(shown, report.layer("safety").detail)
    named = f"policy {decided.policy.digest[:16]}… is starter version {decided.policy.version}"
    assert named in report.layer("safety").checked
    words, picture = report.facts["rederived"]["decisions"]
    assert (words["outcome"], picture["outcome"]) == ("confirmed", "confirmed")
    assert picture["difference"] <= 1e-6


def test_pixels_without_their_metadata_are_still_the_pixels_decided_on(decided: Decided, tmp_path: Path) -> None:
    report = decided.again(decided.world.stripped("honest.png", tmp_path / "plain.png"))
    assert report.verdict is Verdict.RECOVERED
    assert report.facts["rederived"]["decisions"][1]["outcome"] == "confirmed"


@pytest.mark.parametrize("changed", ["recompressed", "cropped"])
def test_of_pixels_that_changed_no_more_is_said_than_that_they_stay_below(
    decided: Decided, tmp_path: Path, changed: str
) -> None:
    pixels = decided.world.pixels("honest.png")
    pixels = pixels[20:230, 20:230] if changed == "cropped" else pixels
    report = decided.again(decided.world.saved(pixels, tmp_path / "changed.jpg", format="JPEG", quality=85))
    assert report.verdict is Verdict.RECOVERED
    assert report.layer("safety").status == "ok"
    assert "they stay below every threshold, no more is shown" in report.layer("safety").detail
    shown = report.facts["rederived"]["decisions"][1]
    assert shown["outcome"] == "below threshold"
    assert shown["difference"] is not None


def test_a_forged_score_is_authentic_until_it_is_derived_again(decided: Decided) -> None:
    assert decided.world.verify("forged.png").verdict is Verdict.AUTHENTIC
    report = decided.again("forged.png")
    assert report.verdict is Verdict.TAMPERED
    assert report.exit_code == 1
    assert "0.012300 on record, more than 0.02 apart: the record is contradicted" in report.layer("safety").detail
    assert report.layer("credentials").status == report.layer("record").status == "ok"


def test_a_forged_score_of_changed_pixels_is_not_confirmed(decided: Decided, tmp_path: Path) -> None:
    changed = decided.world.stripped("forged.png", tmp_path / "changed.jpg", format="JPEG", quality=85)
    report = decided.again(changed)
    assert report.verdict is Verdict.RECOVERED
    assert report.layer("safety").status == "skipped"
    assert "not the pixels decided on, and now the picture shows skull" in report.layer("safety").detail
    assert report.facts["rederived"]["decisions"][1]["outcome"] == "not confirmed"


@pytest.mark.parametrize("name", ["looser.png", "blind.png"])
def test_thresholds_and_concepts_that_are_not_the_policys_contradict_the_record(decided: Decided, name: str) -> None:
    assert decided.world.verify(name).verdict is Verdict.AUTHENTIC
    report = decided.again(name)
    assert report.verdict is Verdict.TAMPERED
    assert "are not those of the policy it names" in report.layer("safety").detail


def test_a_prompt_in_clear_that_its_own_filter_blocks_contradicts_the_record(decided: Decided) -> None:
    report = decided.again("asked.png")
    assert report.verdict is Verdict.TAMPERED
    assert "prompt: on record as allowed, but the prompt asks for skull" in report.layer("safety").detail


def test_a_prompt_that_only_another_version_blocks_is_not_confirmed(decided: Decided) -> None:
    report = decided.again("other-words.png")
    assert report.verdict is Verdict.AUTHENTIC
    assert report.layer("safety").status == "skipped"
    assert "by another version of the filter" in report.layer("safety").detail


def test_another_version_of_the_code_around_the_same_model_still_confirms(decided: Decided) -> None:
    report = decided.again("other-code.png")
    assert report.verdict is Verdict.AUTHENTIC
    assert report.facts["rederived"]["decisions"][1]["outcome"] == "confirmed"


def test_a_decision_of_an_earlier_version_says_no_more_than_below(decided: Decided) -> None:
    report = decided.again("earlier.png")
    assert report.verdict is Verdict.AUTHENTIC
    assert report.facts["rederived"]["decisions"][1]["outcome"] == "below threshold"


def test_a_hidden_prompt_is_not_derived_and_a_text_only_screened(decided: Decided) -> None:
    report = decided.again("hidden.png")
    assert report.layer("safety").status == "ok"
    assert report.facts["rederived"]["decisions"][0]["outcome"] == "not derived"
    assert any("only as a keyed digest" in check for check in report.layer("safety").checked)
    for text, said in ((PROMPT, "is allowed"), ("five skulls", "is blocked (the prompt asks for skull")):
        report = decided.again("hidden.png", prompt=text)
        assert report.verdict is Verdict.AUTHENTIC
        assert report.facts["rederived"]["decisions"][0]["outcome"] == "not derived"
        assert any(f"the text given {said}" in check for check in report.layer("safety").checked)


def test_whoever_holds_the_key_can_show_which_prompt_it_was(decided: Decided) -> None:
    confirmed = decided.again("hidden.png", prompt=PROMPT, name_prompt=lambda text: "aa" * 32)
    assert confirmed.facts["rederived"]["decisions"][0]["outcome"] == "confirmed"
    blocked = decided.again("hidden.png", prompt="five skulls", name_prompt=lambda text: "aa" * 32)
    assert blocked.verdict is Verdict.TAMPERED
    stranger = decided.again("hidden.png", prompt="five skulls", name_prompt=lambda text: "bb" * 32)
    assert stranger.verdict is Verdict.AUTHENTIC


def test_another_prompt_than_the_one_in_clear_is_refused(decided: Decided) -> None:
    with pytest.raises(Unavailable, match="is not the one on record"):
        decided.again("honest.png", prompt="a blue fish")


def test_a_policy_of_ones_own_is_needed_and_must_be_the_one_that_decided(decided: Decided) -> None:
    with pytest.raises(Unavailable, match="does not ship with prov") as refusal:
        decided.again("house-rules.png")
    assert "--policy FILE" in str(refusal.value)
    other = Policy.load(decided.other)
    with pytest.raises(Unavailable, match="none of the policies given is the one that decided") as refusal:
        decided.again("house-rules.png", policies=[other])
    assert refusal.value.expected == f"policy {Policy.load(decided.rules).digest}"
    assert other.digest in str(refusal.value)
    # Also where a policy that ships would do: whoever names one means it.
    with pytest.raises(Unavailable, match="none of the policies given"):
        decided.again("honest.png", policies=[other])
    report = decided.again("house-rules.png", policies=[other, Policy.load(decided.rules)])
    assert report.facts["rederived"]["decisions"][1]["outcome"] == "confirmed"


def test_without_the_model_that_decided_it_is_named(decided: Decided) -> None:
    with pytest.raises(Unavailable, match="another model than this machine has") as refusal:
        decided.again("other-model.png")
    assert refusal.value.exit_code == 3
    assert "00" * 32 in (refusal.value.expected or "")


def test_a_filter_that_cannot_load_gives_no_verdict(
    decided: Decided, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safety import clip_model

    monkeypatch.setattr(clip_model, "STARTER_CLIP", tmp_path / "missing")
    with pytest.raises(Unavailable, match="cannot be loaded"):
        decided.again("honest.png", fresh=True)


def test_no_missing_filter_hides_that_a_picture_was_tampered_with(decided: Decided, tmp_path: Path) -> None:
    forged = tmp_path / "forged.png"
    forged.write_bytes(decided.world.images["other-model.png"].read_bytes() + b"\0")
    report = decided.again(forged)
    assert report.verdict is Verdict.TAMPERED
    assert "not checked: the decision (stage output) was made with another model" in report.layer("safety").detail


def test_a_picture_that_only_carries_a_copied_mark_is_not_scored(decided: Decided, tmp_path: Path) -> None:
    from safety.watermark import detect, embed

    payload = detect(decided.world.pixels("honest.png")).payload
    assert payload is not None
    copied = decided.world.saved(embed(decided.world.picture(11), payload), tmp_path / "copied.png")
    report = decided.again(copied)
    assert report.verdict is Verdict.COPIED
    assert "rederived" not in report.facts


def test_a_bundle_is_enough_to_decide_again(decided: Decided, tmp_path: Path) -> None:
    from provenance.bundle import make_bundle, open_bundle

    world = decided.world
    for name, verdict in (("honest.png", Verdict.AUTHENTIC), ("forged.png", Verdict.TAMPERED)):
        target = tmp_path / f"{name}.prov.car"
        make_bundle(
            world.images[name],
            target,
            reader=world.reader(),
            store=world.store,
            trust=world.trust,
            issuer=world.issuer,
        )
        evidence = open_bundle(target, world.trust)
        report = verify_with(world.images[name], evidence, world.trust, rederive=Rederivation())
        assert report.verdict is verdict


def scored(score: float, **changes: Any) -> Decision:
    fields: dict[str, Any] = {"scores": {"skull": score}, "thresholds": {"skull": 0.25}}
    return Decision(
        **{"allowed": score < 0.25, "stage": "output", "policy_digest": "p", "filter_digest": "f", **fields, **changes}
    )


@pytest.mark.parametrize(
    ("recorded", "again", "exact", "outcome"),
    [
        (0.2, 0.2 + TOLERANCE * 0.99, True, Outcome.CONFIRMED),
        (0.2, 0.2 + TOLERANCE * 1.01, True, Outcome.CONTRADICTED),
        (0.2, 0.2 - TOLERANCE * 1.01, True, Outcome.CONTRADICTED),
        (0.24, 0.255, True, Outcome.CONFIRMED),
        (0.2, 0.01, False, Outcome.BELOW),
        (0.2, 0.249, False, Outcome.BELOW),
        (0.2, 0.25, False, Outcome.NOT_CONFIRMED),
    ],
)
def test_the_tolerance_is_the_border_between_confirmed_and_contradicted(
    recorded: float, again: float, exact: bool, outcome: Outcome
) -> None:
    result = compared(scored(recorded), scored(again), exact=exact)
    assert result.outcome is outcome
    assert result.difference == pytest.approx(abs(recorded - again))
    border = "though now on the other side of its threshold" in result.detail
    assert border == (outcome is Outcome.CONFIRMED and again >= 0.25)


def run(*arguments: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from cli.main import app

    monkeypatch.setenv("PROV_HOME", str(home))
    return CliRunner().invoke(app, ["verify", *arguments])


def test_the_command_decides_again_and_names_what_is_missing(
    decided: Decided, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    shutil.copytree(decided.world.home.path, home)
    images = [str(decided.world.images[name]) for name in ("honest.png", "forged.png", "house-rules.png")]
    done = run("--rederive", "--json", *images, home=home, monkeypatch=monkeypatch)
    assert done.exit_code == 1
    honest, forged, rules = json.loads(done.stdout)
    assert (honest["verdict"], forged["verdict"], rules["verdict"]) == ("authentic", "tampered", None)
    assert "does not ship with prov" in rules["error"]
    assert rules["exit_code"] == 3
    arguments = ["--rederive", "--policy", str(decided.rules), images[2]]
    assert run(*arguments, home=home, monkeypatch=monkeypatch).exit_code == 0
    for stray in (["--policy", str(decided.rules)], ["--prompt", PROMPT]):
        refused = run(*stray, images[0], home=home, monkeypatch=monkeypatch)
        assert refused.exit_code == 2
        assert "add --rederive" in refused.stderr


def test_the_same_filter_scores_the_same_pixels_alike_to_the_last_bit(decided: Decided) -> None:
    content_filter = open_content_filter(decided.policy, "starter")
    pixels = np.asarray(Image.open(decided.world.images["honest.png"]).convert("RGB"))
    first, second = (content_filter.screen(pixels).scores["skull"] for _ in range(2))
    assert first == second
