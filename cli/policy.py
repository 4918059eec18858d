"""`prov policy`: what a safety policy says and would allow, and who signed it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import emit, passphrase, refusals
from cli.policy_calibrate import calibrate
from cli.policy_options import BaseOption, JsonOption, PolicyOption

if TYPE_CHECKING:
    from safety.decision import Decision
    from safety.policy import Concept, Policy

app = typer.Typer(help="Show, check, calibrate and sign policies.", no_args_is_help=True, rich_markup_mode=None)
app.command()(calibrate)

SignedOption = Annotated[Path | None, typer.Option(help="A signed policy's folder: it is verified, then counts.")]
TrustOption = Annotated[
    list[Path] | None, typer.Option(help="PEM file with a root to trust beside your own; may be repeated.")
]


@app.command()
def check(
    prompt: Annotated[str | None, typer.Option(help="A prompt to screen.")] = None,
    image: Annotated[Path | None, typer.Option(help="A PNG, JPEG or WebP picture to screen.")] = None,
    policy: PolicyOption = None,
    base: BaseOption = "starter",
    signed: SignedOption = None,
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a prompt or a picture would pass; exit 1 when it would be blocked.

    Example: prov policy check --prompt "a red fish in the desert"
    """
    with refusals():
        from provenance.errors import UsageError

        if prompt is None and image is None:
            raise UsageError(
                "give --prompt or --image", fix='for example: prov policy check --prompt "a red fish in the desert"'
            )
        rules, _ = _rules(policy, base, signed, trust)
        decisions: list[tuple[Decision, str]] = []
        if prompt is not None:
            from safety.prompt_stages import open_prompt_filter

            decisions.append((open_prompt_filter(rules, base=base).screen(prompt), "open_clip_text"))
        if image is not None:
            import numpy as np

            from provenance.files import read_file
            from provenance.images import MAX_BYTES, decode_image
            from safety.content import open_content_filter, screen_or_refuse

            picture = np.asarray(decode_image(read_file(image, limit=MAX_BYTES), image.name))
            decisions.append((screen_or_refuse(open_content_filter(rules, base), picture), rules.filter.kind))
    emit(
        [
            decision.to_json()
            | {"calibrated_elsewhere": list(_calibrated_elsewhere(rules, scorer, decision.model_digest))}
            for decision, scorer in decisions
        ],
        "\n".join(_line(decision, rules, scorer) for decision, scorer in decisions),
        as_json=as_json,
    )
    if not all(decision.allowed for decision, _ in decisions):
        raise typer.Exit(1)


@app.command()
def show(
    policy: PolicyOption = None,
    base: BaseOption = "starter",
    signed: SignedOption = None,
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a policy, checked, with the digest that decisions name, and who signed it.

    Example: prov policy show
    """
    with refusals():
        rules, signature = _rules(policy, base, signed, trust)
    lines = [f"{rules.name} version {rules.version}, filter {rules.filter.kind}", f"digest {rules.digest}"]
    if signature is not None:
        lines.append(f'signed by "{signature["issuer"]}" on {signature["created"]}, root {signature["root_digest"]}')
    for concept in rules.concepts:
        lines += _concept_lines(concept)
    model, fault = _model_of(rules, base)
    lines += [] if fault is None else [f"whether it was calibrated for its model is not known: {fault}"]
    elsewhere = {
        scorer: list(_calibrated_elsewhere(rules, scorer, model)) for scorer in ("open_clip", "open_clip_text")
    }
    lines += [_elsewhere_line(scorer, names) for scorer, names in elsewhere.items() if names]
    data = {
        "digest": rules.digest,
        "policy": json.loads(rules.canonical),
        "signature": signature,
        "model": model,
        "calibrated_elsewhere": elsewhere,
    }
    emit(data, "\n".join(lines), as_json=as_json)


@app.command()
def sign(
    policy: Annotated[Path, typer.Argument(help="A policy file.")],
    out: Annotated[Path | None, typer.Option(help="New folder for it; POLICY-signed when not given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a policy and sign it with the issuer's key, so that others can tell whose rules they are.

    Example: prov policy sign policy.yaml --out policy-signed
    """
    with refusals():
        from provenance.home import Home
        from provenance.identity import load_issuer
        from provenance.policy_signature import sign_policy

        release = out or policy.resolve().with_name(f"{policy.stem}-signed")
        issuer = load_issuer(Home.open(), passphrase())
        rules = sign_policy(policy, release, issuer)
    emit(
        {"name": rules.name, "version": rules.version, "digest": rules.digest, "signed": str(release)},
        f'{rules.name} version {rules.version}, signed by "{issuer.name}"\ndigest {rules.digest}\nsigned {release}',
        as_json=as_json,
    )


def _rules(
    policy: Path | None, base: str, signed: Path | None, trust: list[Path] | None
) -> tuple[Policy, dict[str, str] | None]:
    """The policy that counts, and who signed it, where a signed one is asked for."""
    from provenance.errors import UsageError

    if signed is None:
        from safety.policy import open_policy

        if trust:
            raise UsageError("--trust needs --signed", fix="name the folder that `prov policy sign` made")
        return open_policy(policy, base), None
    if policy is not None:
        raise UsageError("give --policy or --signed, not both", fix="the signed folder holds its policy")
    from provenance.policy_signature import verify_policy
    from provenance.trust import home_and_files

    found = verify_policy(signed, home_and_files(trust or []))
    signature = {"issuer": found.issuer.name, "root_digest": found.issuer.root_digest, "created": found.created}
    return found.policy, signature


def _model_of(policy: Policy, base: str) -> tuple[str | None, str | None]:
    """The digest of a policy's model where a threshold was calibrated for one, or why it cannot be told."""
    from safety.content import open_policy_model
    from safety.errors import FilterError

    if not any(concept.calibration for concept in policy.concepts):
        return None, None
    try:
        return open_policy_model(policy, base).digest, None
    except FilterError as error:
        return None, error.what


def _calibrated_elsewhere(policy: Policy, scorer: str, model: str | None) -> tuple[str, ...]:
    return () if model is None else policy.calibrated_elsewhere(scorer, model)


def _elsewhere_line(scorer: str, names: Sequence[str]) -> str:
    return (
        f"warning: {scorer} of {', '.join(names)} was calibrated for another model, and its rates do not hold here: "
        "prov policy calibrate"
    )


def _concept_lines(concept: Concept) -> list[str]:
    lines = [f"{concept.name} ({', '.join(concept.stages)})", f"  terms: {', '.join(concept.terms)}"]
    if concept.allow:
        lines.append(f"  allowed phrases: {', '.join(concept.allow)}")
    for language, listed in concept.languages.items():
        lines.append(f"  terms in {language}: {', '.join(listed.terms)}")
        if listed.allow:
            lines.append(f"  allowed phrases in {language}: {', '.join(listed.allow)}")
    for scorer, block in concept.thresholds.items():
        warn = f"warns from {concept.warnings[scorer]:g}, " if scorer in concept.warnings else ""
        lines.append(f"  {scorer}: {warn}blocks from {block:g}, {_calibration(concept, scorer)}")
    return lines


def _calibration(concept: Concept, scorer: str) -> str:
    known = concept.calibration.get(scorer)
    if known is None:
        return "not calibrated"
    low, high = known.interval
    return (
        f"{known.fpr:.2%} of {known.negatives} negatives blocked "
        f"({known.confidence:.0%} interval {low:.2%} to {high:.2%}), set {known.set_digest[:16]}…, "
        f"model {known.model_digest[:16]}… in {known.precision}"
    )


def _line(decision: Decision, policy: Policy, scorer: str) -> str:
    verdict = "allowed" if decision.allowed else "blocked"
    scores = "".join(f"; {name} {score:.3f}" for name, score in sorted(decision.scores.items()))
    limits = {concept.name: concept.warnings.get(scorer) for concept in policy.concepts}
    close = [
        f"  warning: close to {name}: score {decision.scores[name]:.3f}, warned of from {limits[name]:g}"
        for name in decision.warnings
        if decision.margins[name] > 0
    ]
    elsewhere = _calibrated_elsewhere(policy, scorer, decision.model_digest)
    if elsewhere:
        close.append(f"  {_elsewhere_line(scorer, elsewhere)}")
    return "\n".join([f"{decision.stage}: {verdict}: {decision.reason}{scores}", *close])
