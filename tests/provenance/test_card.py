"""Model cards: what the Hub's own reader finds in them, and that no text out of a statement becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from provenance.adapter import AdapterManifest
from provenance.byproducts import add_byproduct
from provenance.card import CardSource, model_card
from provenance.card_text import block, code, escaped
from provenance.evaluation import (
    SignedEvaluation,
    evaluation_byproduct,
    parse_report,
    sign_evaluation,
    verify_evaluation,
)
from provenance.home import Home
from provenance.identity import Issuer
from provenance.trust import TrustStore
from tests.provenance.evaluation_world import claim, report
from tests.provenance.test_byproducts import write_release

HOSTILE = "![x](javascript:alert(1)) | <script>`\n# heading"


@pytest.fixture
def made(tmp_path: Path, issuer: Issuer) -> AdapterManifest:
    return write_release(tmp_path / "release", issuer)


@pytest.fixture
def signed(made: AdapterManifest, issuer: Issuer, trust: TrustStore) -> SignedEvaluation:
    files = sign_evaluation(report(claim(made.weights_digest)), issuer)
    return verify_evaluation(files.__getitem__, trust, weights=made.weights_digest)


def test_the_hubs_own_reader_finds_the_figures(made: AdapterManifest, signed: SignedEvaluation) -> None:
    hub = replace(made, base_id="hf:runwayml/stable-diffusion-v1-5@" + "0" * 40)
    read = ModelCard(model_card(CardSource(hub, signed, "CC-BY-4.0"))).data
    assert (read.base_model, read.license, read.library_name) == (
        "runwayml/stable-diffusion-v1-5",
        "cc-by-4.0",
        "diffusers",
    )
    assert read.metrics == ["fid", "kid", "cmmd", "clip_score"]
    found = {result.metric_type: result.metric_value for result in read.eval_results}
    assert found == {"fid": 0.21, "kid": -0.0001, "cmmd": -0.1, "clip_score": 45.5}
    assert read.eval_results[0].dataset_name == "drawings"
    assert {"lora", "prov"} <= set(read.tags)


def test_a_base_that_is_not_from_the_hub_is_not_linked_there(made: AdapterManifest) -> None:
    for base in ("starter", "local:stable-diffusion-v1-5"):
        card = ModelCard(model_card(CardSource(replace(made, base_id=base), None)))
        assert card.data.base_model is None
        assert f"`{base}`" in card.text


def test_a_card_without_figures_says_so(made: AdapterManifest) -> None:
    text = model_card(CardSource(made, None))
    assert "No signed evaluation" in text
    assert "no replay chain" in text
    assert "metrics" not in yaml.safe_load(text.split("---")[1])


def test_figures_of_the_attestation_are_shown_where_there_are_no_others(
    made: AdapterManifest, tmp_path: Path, issuer: Issuer, home: Home
) -> None:
    data = report(claim(made.weights_digest))
    byproduct = evaluation_byproduct(parse_report(data), data)
    told = add_byproduct(tmp_path / "release", byproduct, weights=made.weights_digest, issuer=issuer, home=home)
    text = model_card(CardSource(told, None))
    assert "| FID | 0.34 | 0.21 |" in text
    assert "the safety policy blocked pictures" in text.lower()


def test_further_statements_of_an_attestation_are_shown_as_they_stand(
    made: AdapterManifest, tmp_path: Path, issuer: Issuer, home: Home
) -> None:
    other = {"name": "weather", "digest": {"sha256": "9" * 64}, "annotations": {"rain": 3.5}}
    told = add_byproduct(tmp_path / "release", other, weights=made.weights_digest, issuer=issuer, home=home)
    text = model_card(CardSource(told, None))
    assert text.index("## Further statements") < text.index('"rain": 3.5')


def test_a_private_training_says_what_it_spent_and_why_it_has_no_chain(
    made: AdapterManifest, tmp_path: Path, issuer: Issuer, home: Home
) -> None:
    spent = {"epsilon": 3.5, "delta": 1e-5, "unit": "one item of the dataset"}
    privacy = {"name": "privacy", "digest": {"sha256": "9" * 64}, "annotations": spent}
    told = add_byproduct(tmp_path / "release", privacy, weights=made.weights_digest, issuer=issuer, home=home)
    text = model_card(CardSource(told, None))
    assert "epsilon `3.5` at delta `1e-05`, for one item of the dataset" in text
    assert "withholds its replay chain" in text


def test_what_each_contributor_to_a_private_training_spent_is_told(
    made: AdapterManifest, tmp_path: Path, issuer: Issuer, home: Home
) -> None:
    spent = {"epsilon": 3.5, "delta": 1e-5, "unit": "one item of the dataset"}
    stated = {"by": "contributors", "privacies": {"8" * 64: spent}}
    privacy = {"name": "privacy", "digest": {"sha256": "9" * 64}, "annotations": stated}
    told = add_byproduct(tmp_path / "release", privacy, weights=made.weights_digest, issuer=issuer, home=home)
    text = model_card(CardSource(told, None))
    assert f"dataset `{'8' * 64}`, epsilon `3.5` at delta `1e-05`, for one item of the dataset" in text
    assert "`None`" not in text


@pytest.mark.parametrize(
    ("config", "loads"), [({"kind": "lora"}, True), ({"kind": "lokr"}, False), ({"trigger": "<dove>"}, False)]
)
def test_an_adapter_that_diffusers_alone_cannot_load_is_not_said_to_load_there(
    config: dict[str, str], loads: bool, made: AdapterManifest
) -> None:
    build = {**made.predicate["buildDefinition"], "externalParameters": {"config": config}}
    text = model_card(CardSource(replace(made, predicate={**made.predicate, "buildDefinition": build}), None))
    assert ("load_lora_weights" in text) == loads
    assert ModelCard(text).data.get("instance_prompt") == config.get("trigger")


def test_names_cannot_become_markup(made: AdapterManifest, signed: SignedEvaluation) -> None:
    predicate = {**made.predicate, "buildDefinition": {**made.predicate["buildDefinition"]}}
    predicate["buildDefinition"]["externalParameters"] = {"name": HOSTILE, "config": {"```": HOSTILE, "rank": HOSTILE}}
    text = model_card(CardSource(replace(made, predicate=predicate, base_id=HOSTILE.replace("\n", " ")), signed))
    page = MarkdownIt("commonmark").enable("table").render(text.split("---\n", 2)[2])
    assert not re.search(r"<(script|img|a)\b", page)
    assert page.count("<h1>") == 1
    assert page.count("<script") == 0 < page.count("&lt;script&gt;")
    assert page.count("<pre>") == 2
    assert ModelCard(text).data.eval_results


@pytest.mark.parametrize(
    ("text", "told"),
    [("a_b*c", "a\\_b\\*c"), ("a\n\nb", "a b"), ("<b>", "\\<b\\>"), ("x" * 500, "x" * 399 + "…")],
)
def test_text_is_escaped(text: str, told: str) -> None:
    assert escaped(text) == told


def test_code_and_blocks_cannot_be_left() -> None:
    assert code("a`b|c\nd") == "`a'b\\|c d`"
    assert block({"a": "```\n```"}).count("```") == 2
