"""A model card for the Hugging Face Hub, written from verified statements and from nothing else.

The front matter follows the Hub's model card specification, figures as a ``model-index``. Text out of statements is
escaped: a name cannot become markup. ``base_model`` is there when the base came from the Hub: another base's name could
be a stranger's there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from provenance.adapter import AdapterManifest
from provenance.card_sections import (
    audits,
    figures,
    further,
    limits,
    parents,
    privacy,
    replay,
    screening,
    settings,
    training,
    training_data,
)
from provenance.card_text import code, escaped, table
from provenance.evaluation import SignedEvaluation, attached_evaluation
from provenance.trigger import EMBEDDINGS, is_learned

HUB_BASE = re.compile(r"hf:([\w.-]+/[\w.-]+)@.+")
METRICS = ("fid", "kid", "cmmd", "clip_score")


@dataclass(frozen=True)
class CardSource:
    """What a card is written from: a verified adapter, verified figures of it, and the licence its maker names.

    Without figures of its own, those that the attestation carries are shown.
    """

    made: AdapterManifest
    evaluation: SignedEvaluation | None
    licence: str | None = None

    @property
    def figures(self) -> SignedEvaluation | None:
        """The figures to show; raises FormatError when those of the attestation are malformed."""
        return self.evaluation or attached_evaluation(self.made)


def model_card(source: CardSource) -> str:
    """The card as Markdown with YAML front matter, ending in a line end."""
    made = source.made
    name = adapter_name(made)
    matter = yaml.safe_dump(_front_matter(source, name), sort_keys=False, allow_unicode=True, width=120)
    parts = [
        f"---\n{matter}---",
        f"# {escaped(name)}",
        "Written by `prov model card` from signed statements that were verified; what no statement says is not here.",
        table(
            ("what", "value"),
            [
                ("weights, SHA-256", code(made.weights_digest)),
                ("attestation, SHA-256", code(made.digest)),
                ("signed by", f"{escaped(made.issuer.name)}, root {code(made.issuer.root_digest)}"),
                ("base", f"{code(made.base_id)}, digest {code(made.base_digest)}"),
            ],
        ),
        *_section("Merged from", parents(made)),
        *_section("Training data", training_data(made)),
        *_section("Training", training(made.predicate)),
        *_section("Figures", figures(source.figures)),
        *_section("Audits", audits(made.predicate)),
        *_section("Screening", screening(made.predicate)),
        *_section("Privacy", privacy(made.predicate)),
        *_section("Replay", replay(made.predicate)),
        *_section("Further statements", further(made.predicate)),
        *_section("Use", [_use(made)]),
        *_section("Limits", limits(source.figures)),
    ]
    return "\n\n".join(parts) + "\n"


def adapter_name(made: AdapterManifest) -> str:
    """The name that the attestation gives an adapter, or else the first digits of its weights."""
    match made.predicate:
        case {"buildDefinition": {"externalParameters": {"name": str(name)}}} if name.strip():
            return name.strip()[:96]
    return f"adapter {made.weights_digest[:12]}"


def _front_matter(source: CardSource, name: str) -> dict[str, Any]:
    made, matter = source.made, dict[str, Any]()
    if hub := HUB_BASE.fullmatch(made.base_id):
        matter |= {"base_model": hub.group(1), "base_model_relation": "adapter"}
    matter |= _licence(source.licence)
    matter |= {
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["lora", "text-to-image", "diffusers", "prov", "signed-provenance"],
        **({"instance_prompt": trigger} if (trigger := settings(made.predicate).get("trigger")) else {}),
        "datasets": [_slug(_dataset_name(made), made.dataset_digest)],
    }
    if (signed := source.figures) is not None:
        claim = signed.evaluation.value
        reference = claim["reference"]
        values = {
            "fid": claim["fid"]["after"],
            "kid": claim["kid"]["after"]["mean"],
            "cmmd": claim["cmmd"]["after"]["mean"],
            "clip_score": claim["clip_score"]["after"]["mean"],
        }
        results = [{"type": metric, "value": values[metric], "name": metric} for metric in METRICS]
        matter |= {
            "metrics": list(METRICS),
            "model-index": [
                {
                    "name": name,
                    "results": [
                        {
                            "task": {"type": "text-to-image"},
                            "dataset": {
                                "type": _slug(reference["name"], reference["digest"]),
                                "name": reference["name"],
                            },
                            "metrics": results,
                        }
                    ],
                }
            ],
        }
    return matter


def _licence(expression: str | None) -> dict[str, str]:
    """What the Hub takes: one of its names, all of them in small letters, or ``other`` and a name."""
    if expression is None:
        return {"license": "other", "license_name": "terms-of-the-maker"}
    if " " in expression or expression.startswith("LicenseRef-"):
        return {"license": "other", "license_name": expression.lower()}
    return {"license": expression.lower()}


def _section(title: str, parts: list[str]) -> list[str]:
    return [f"## {title}", *parts] if parts else []


def _dataset_name(made: AdapterManifest) -> str:
    if made.dataset is not None:
        return made.dataset.name
    for entry in made.predicate["buildDefinition"]["resolvedDependencies"]:
        match entry:
            case {"name": "dataset", "annotations": {"name": str(name)}}:
                return name
    return "dataset"


def _slug(name: str, digest: str) -> str:
    """A name the Hub takes, with digits of the digest: a bare name could be a stranger's dataset there."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48] or "dataset"
    return f"{plain}-{digest[:12]}"


def _use(made: AdapterManifest) -> str:
    config = settings(made.predicate)
    learned = is_learned(str(config.get("trigger", ""))) or EMBEDDINGS in made.files
    if config.get("kind") in ("loha", "lokr") or learned:
        return (
            "`prov generate PROMPT --model RELEASE` draws with it, and screens, watermarks, signs and records what it"
            " draws. diffusers alone does not load all of an adapter of this kind."
        )
    hub = HUB_BASE.fullmatch(made.base_id)
    base = hub.group(1) if hub else "FOLDER OF THE BASE"
    return "\n".join(
        (
            "```python",
            "from diffusers import DiffusionPipeline",
            "",
            f'pipe = DiffusionPipeline.from_pretrained("{base}")',
            'pipe.load_lora_weights("RELEASE/adapter", weight_name="adapter.safetensors")',
            "```",
            "",
            "`prov generate PROMPT --model RELEASE` screens, watermarks, signs and records what it draws as well.",
        )
    )
