"""`prov verify`: the history of pictures, layer by layer, and one verdict for each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import emit, note, paint, refusals

if TYPE_CHECKING:
    from collections.abc import Callable

    from provenance.home import Home
    from provenance.ledger.protocol import LedgerReader
    from provenance.trust import TrustStore
    from provenance.verify import Report
    from provenance.verify.decided import Rederive
    from provenance.verify.trace import DeepReader

COLOURS = {"authentic": "green", "recovered": "green", "unknown": "yellow"}

# For several pictures the gravest counts: a history that does not hold, then no picture, no answer, no history.
GRAVEST_FIRST = (1, 2, 3, 4, 0)


def command(
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG or WebP files.")],
    bundle: Annotated[Path | None, typer.Option(help="A file from `prov bundle`: verify with it alone.")] = None,
    trust: Annotated[list[Path] | None, typer.Option(help="Root certificates (PEM) to believe.")] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Without a mark in the pixels, invert the model to look in its noise; slow.")
    ] = False,
    base: Annotated[str | None, typer.Option(help="For --deep: the base that drew it; starter when not given.")] = None,
    adapter: Annotated[Path | None, typer.Option(help="For --deep: the release of the adapter that drew it.")] = None,
    rederive: Annotated[
        bool, typer.Option("--rederive", help="Decide on the picture again and compare with the recorded decision.")
    ] = False,
    policy: Annotated[
        list[Path] | None, typer.Option(help="For --rederive: the policy that decided, where it does not ship.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="For --rederive: the prompt, where the record hides it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")] = False,
) -> None:
    """Verify where pictures come from; exit 0 authentic or recovered, 1 not, 2 no picture, 3 no answer, 4 no history.

    Example: prov verify images/prov-1-0.png
    """
    with refusals():
        from provenance.errors import FileRefused, ImageRefused, ProvenanceError
        from provenance.trust import home_and_files

        roots = home_and_files(trust or [])
        verify = _verifier(
            bundle, roots, _deep_reader(deep, base, adapter, roots), _rederivation(rederive, policy or [], prompt)
        )
        results: list[dict[str, Any]] = []
        texts: list[str] = []
        for image in images:
            try:
                report = verify(image)
            except ProvenanceError as error:
                # 1 would say that something is wrong with the history of a picture; this is no picture.
                code = 2 if isinstance(error, (FileRefused, ImageRefused)) else error.exit_code
                results.append({"image": str(image), "verdict": None, "error": str(error), "exit_code": code})
                texts.append(paint("error: ", "red") + str(error))
            else:
                results.append(report.to_json())
                texts.append(_painted(report))
        emit(results if len(images) > 1 else results[0], "\n\n".join(texts), as_json=as_json)
    code = min((result["exit_code"] for result in results), key=GRAVEST_FIRST.index)
    if code:
        raise typer.Exit(code)


def _deep_reader(deep: bool, base: str | None, adapter: Path | None, roots: TrustStore) -> DeepReader | None:
    """What reads the noise of a picture; no model is loaded before the first picture that needs one."""
    from provenance.errors import UsageError

    if not deep:
        if base is not None or adapter is not None:
            raise UsageError("--base and --adapter are for looking in the noise", fix="add --deep")
        return None
    from generation.latent_mark_reading import deep_reader

    return deep_reader(base, adapter, roots)


def _rederivation(rederive: bool, policies: list[Path], prompt: str | None) -> Rederive | None:
    """What decides on a picture again; no filter is loaded before the first picture that has decisions."""
    from provenance.errors import HomeMissing, UsageError

    if not rederive:
        if policies or prompt is not None:
            raise UsageError("--policy and --prompt are for deciding again", fix="add --rederive")
        return None
    from generation.screening import PromptKey
    from provenance.files import read_file
    from provenance.home import Home
    from provenance.rederivation import Rederivation
    from safety.policy import Policy

    name_prompt = None
    try:
        key = Home.open().path / "prompt.key"
    except HomeMissing:
        key = None
    if key is not None and key.exists():
        name_prompt = PromptKey(read_file(key, limit=32)).name
    return Rederivation([Policy.load(path) for path in policies], prompt, name_prompt)


def _verifier(
    bundle: Path | None, roots: TrustStore, deep: DeepReader | None, rederive: Rederive | None
) -> Callable[[Path], Report]:
    from provenance.errors import Unavailable
    from provenance.home import Home
    from provenance.verify.evidence import Evidence, HomeEvidence, NoEvidence
    from provenance.verify.verifier import verify_with

    evidence: Evidence
    if bundle is not None:
        from provenance.bundle import open_bundle

        evidence = open_bundle(bundle, roots)
    else:
        try:
            home = Home.open()
            from provenance.ledger import open_reader
            from provenance.stores import open_store

            reader = open_reader(home)
            _say_what_is_not_final(home, reader)
            evidence = HomeEvidence(reader, open_store(home))
        except Unavailable as error:
            evidence = NoEvidence(error.what)
    return lambda image: verify_with(image, evidence, roots, deep, rederive)


def _say_what_is_not_final(home: Home, reader: LedgerReader) -> None:
    if home.chain.kind == "embedded":
        return
    from provenance.ledger.node_reader import reader_news

    if text := reader_news(reader):
        note(text)


def _painted(report: Report) -> str:
    first, rest = report.to_text().split("\n", 1)
    return f"{paint(first, COLOURS.get(report.verdict.value, 'red'))}\n{rest}"
