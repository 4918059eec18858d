"""`prov model card`: what is on record of an adapter, as a model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.audit_options import JsonOption, TrustOption
from cli.console import emit, note, refusals

if TYPE_CHECKING:
    from provenance.canonical import Json
    from provenance.card import CardSource
    from provenance.evaluation import SignedEvaluation
    from provenance.trust import TrustStore


def command(
    model: Annotated[str, typer.Argument(help="An adapter release, or a token number.")],
    out: Annotated[Path | None, typer.Option(help="File to write, such as README.md; printed when not given.")] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="Folder with a signed evaluation, in the place of the release's own.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="SPDX licence of the adapter; terms of the maker when not given.")
    ] = None,
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a model card for the Hugging Face Hub from verified statements alone.

    Example: prov model card rockets --out README.md
    """
    with refusals():
        from provenance.card import model_card
        from provenance.errors import UsageError
        from provenance.evaluation import require_about
        from provenance.files import write_file
        from provenance.trust import home_and_files

        if out is not None and out.exists():
            raise UsageError(f"{out} is already there", expected="a new file", fix="give another --out, or move it")
        believed = home_and_files(trust or [])
        found = _source(model, believed, evaluation, _spdx(licence))
        if found.evaluation is not None:
            require_about(found.evaluation, dataset=found.made.dataset_digest, base=found.made.base_digest)
        card = model_card(found)
        if out is not None:
            write_file(out, card.encode())
            note(f"wrote {out}")
        if as_json or out is None:
            emit(_facts(found, card), card.rstrip("\n"), as_json=as_json)


def _facts(source: CardSource, card: str) -> Json:
    shown = source.figures
    return {
        "card": card,
        "weights": source.made.weights_digest,
        "attestation": source.made.digest,
        "evaluation": None if shown is None else {"statement": shown.digest, "report": shown.report},
    }


def _source(model: str, trust: TrustStore, evaluation: Path | None, licence: str | None) -> CardSource:
    from provenance.adapter import verify_adapter
    from provenance.card import CardSource
    from provenance.evaluation import verify_evaluation_folder

    if model.isdecimal():
        return _of_token(int(model), trust, evaluation, licence)
    made = verify_adapter(Path(model), trust)
    signed = verify_evaluation_folder(evaluation or Path(model), trust, weights=made.weights_digest)
    return CardSource(made, _required(signed, evaluation), licence)


def _of_token(number: int, trust: TrustStore, evaluation: Path | None, licence: str | None) -> CardSource:
    from provenance.adapter import verify_adapter_files
    from provenance.card import CardSource
    from provenance.evaluation import verify_evaluation_folder
    from provenance.home import Home
    from provenance.ledger import open_reader
    from provenance.manifest import verify_dataset_files
    from provenance.release import open_release
    from provenance.stores import open_store

    home = Home.open()
    reader = open_reader(home)
    try:
        token = reader.token(number)
        believed = trust.with_roots(reader.issuers(token.maker, token.minted_at))
    finally:
        reader.close()
    release = open_release(open_store(home), token.cid)
    dataset = verify_dataset_files(release.read, believed, with_data=False, require_trusted=False)
    made = verify_adapter_files(release.read, believed, dataset=dataset, sealed=release.sealed)
    if evaluation is None:
        return CardSource(made, release.evaluation(believed, weights=token.weights), licence)
    signed = verify_evaluation_folder(evaluation, believed, weights=token.weights)
    return CardSource(made, _required(signed, evaluation), licence)


def _required(signed: SignedEvaluation | None, folder: Path | None) -> SignedEvaluation | None:
    from provenance.errors import UsageError
    from provenance.evaluation import ENVELOPE

    if signed is None and folder is not None:
        raise UsageError(f"{folder} has no signed evaluation", expected=ENVELOPE, fix="prov evaluate … --sign")
    return signed


def _spdx(licence: str | None) -> str | None:
    from provenance.spdx import licence_expression

    return None if licence is None else licence_expression(licence)
