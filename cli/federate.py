"""`prov federate`: several parties train one adapter, and none of their pictures leaves its owner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import emit, note, passphrase, progress, refusals
from cli.screening import screening_choice

if TYPE_CHECKING:
    from provenance.adapter import AdapterManifest

app = typer.Typer(help="Train one adapter with others; pictures stay with whoever owns them.", no_args_is_help=True)

Trust = Annotated[
    list[Path] | None, typer.Option(help="PEM file with a root to trust beside your own; may be repeated.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command("server")
def server(
    name: Annotated[str, typer.Option(help="What the adapter is called.")],
    config: Annotated[Path, typer.Option(help="TOML file; its steps are shared out over the rounds.")],
    rounds: Annotated[int, typer.Option(min=1, help="How often all updates are added up.")],
    clients: Annotated[int, typer.Option(min=2, help="How many contributors take part.")] = 3,
    base: Annotated[str, typer.Option(help="Base model: starter, a folder or a hub id.")] = "starter",
    out: Annotated[Path | None, typer.Option(help="New folder for the release; NAME when not given.")] = None,
    listen: Annotated[str, typer.Option(help="Where contributors come to; without TLS only this machine's.")] = (
        "127.0.0.1:9070"
    ),
    certificate: Annotated[Path | None, typer.Option(help="Certificates for TLS (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="The key of that certificate (PEM).")] = None,
    secure: Annotated[
        bool | None,
        typer.Option(
            "--secure-aggregation/--no-secure-aggregation",
            help="See only the sum of all updates; the usual from 3 contributors on.",
        ),
    ] = None,
    least: Annotated[
        int | None, typer.Option(help="Go on without contributors that fail, down to this many; else all must last.")
    ] = None,
    wait: Annotated[float, typer.Option(min=1, help="Seconds to wait until all contributors are there.")] = 3600.0,
    round_time: Annotated[float, typer.Option(min=1, help="Seconds that a contributor may take for a round.")] = (
        86400.0
    ),
    trust: Trust = None,
    as_json: AsJson = False,
) -> None:
    """Bring contributors together, add up what they train, and sign the adapter with the names of all.

    Example: prov federate server --name shared --config train.toml --rounds 5 --trust ada.pem --trust bea.pem
    """
    with refusals():
        from training.federated.flower import require_flower

        require_flower()
        from provenance.base import resolve_base
        from provenance.errors import UsageError
        from provenance.home import Home
        from provenance.identity import load_issuer
        from provenance.trust import home_and_files
        from training.config import TrainConfig
        from training.federated.addresses import Listening
        from training.federated.server import serve
        from training.federated.terms import Terms

        if out is None and Path(name).name != name:
            raise UsageError("this name cannot be that of a folder", found=name, fix="say where with --out")
        terms = Terms.of(name, rounds, clients, least, secure, waits=wait, round_time=round_time)
        listening = Listening.of(listen, certificate, key)
        issuer = load_issuer(Home.open(), passphrase())
        settings = TrainConfig.load(config)
        release = out or Path(name)
        adapter = serve(
            resolve_base(base),
            settings,
            terms,
            release,
            listening=listening,
            issuer=issuer,
            trust=home_and_files(trust or []),
            note=note,
            opened=lambda address: note(f"waiting for {clients} contributors at {address}"),
        )
        emit(_facts(adapter, name, release), _text(adapter, name, release), as_json=as_json)
        note(f"next: prov model publish {release} --dataset {release}")


@app.command("client")
def client(
    dataset: Annotated[Path, typer.Argument(help="A release that `prov dataset sign` made.")],
    server: Annotated[str, typer.Option(help="Where the server listens: HOST:PORT.")],
    base: Annotated[str, typer.Option(help="The base that the server names: starter, a folder or a hub id.")] = (
        "starter"
    ),
    tls: Annotated[
        bool, typer.Option("--tls", help="By TLS even on this machine; to any other it is by TLS anyway.")
    ] = False,
    tls_root: Annotated[
        Path | None, typer.Option(help="Root of the server's TLS certificate (PEM); else the system's.")
    ] = None,
    any_peers: Annotated[
        bool, typer.Option("--any-peers", help="Go into a secure aggregation with contributors you do not trust.")
    ] = False,
    dp: Annotated[
        str | None,
        typer.Option(
            "--dp",
            metavar="epsilon=N[,delta=N]",
            help="Refuse a plan that is not differentially private, or has a greater epsilon or delta (1e-5).",
        ),
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy to screen by; the base's own when not given.")] = None,
    hash_list: Annotated[
        list[Path] | None, typer.Option(help="File of sha256:HEX and pdq:HEX lines to block; may be repeated.")
    ] = None,
    likeness: Annotated[
        list[str] | None, typer.Option(help="An installed likeness check, by name; may be repeated.")
    ] = None,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait for a word from the server.")] = 86400.0,
    trust: Trust = None,
    as_json: AsJson = False,
) -> None:
    """Contribute a signed dataset to a server's training; only signed updates and the dataset's records leave.

    Example: prov federate client release --server 127.0.0.1:9070 --trust server.pem --trust bea.pem
    """
    with refusals():
        from training.federated.flower import require_flower

        require_flower()
        from cli.train import training_progress
        from provenance.base import resolve_base
        from provenance.dataset import verify_dataset
        from provenance.home import Home
        from provenance.identity import load_issuer
        from provenance.trust import home_and_files
        from training.federated.addresses import Reaching
        from training.federated.privacy_floor import PrivacyFloor
        from training.federated.taking_part import take_part

        home = Home.open()
        reaching = Reaching.of(server, tls, tls_root)
        floor = None if dp is None else PrivacyFloor.of(dp)
        believed = home_and_files(trust or [])
        facts = take_part(
            verify_dataset(dataset, believed, progress=progress("verifying")),
            resolve_base(base),
            reaching,
            home=home,
            issuer=load_issuer(home, passphrase()),
            trust=believed,
            any_peers=any_peers,
            floor=floor,
            screening=screening_choice(policy, hash_list, likeness),
            patience=patience,
            note=note,
            progress=training_progress(),
        )
        text = (
            f"{facts['name']}: {facts['rounds']} rounds with {facts['contributors']} contributors\n"
            f"adapter   {facts['adapter']}\n"
            f"weights   {facts['weights']}\n"
            f"dataset   {facts['dataset']}, as its statement tells\n"
            f"kept      {facts['kept']}"
        )
        emit(facts, text, as_json=as_json)


def _facts(adapter: AdapterManifest, name: str, release: Path) -> dict[str, Any]:
    told = next(e for e in adapter.predicate["runDetails"]["byproducts"] if e["name"] == "federated")["annotations"]
    return {
        "aggregation": told["aggregation"],
        "base": adapter.base_id,
        "contributors": [
            {"dataset": each.digest, "issuer": each.issuer.name, "items": len(each.records)}
            for each in adapter.contributors
        ],
        "dataset": adapter.dataset_digest,
        "digest": adapter.digest,
        "left_out": told["left_out"],
        "name": name,
        "release": str(release),
        "rounds": len(told["rounds"]),
        "weights": adapter.weights_digest,
    }


def _text(adapter: AdapterManifest, name: str, release: Path) -> str:
    facts = _facts(adapter, name, release)
    lines = [f"{name}: {facts['rounds']} rounds, {facts['aggregation']} aggregation"]
    lines += [
        f"from      {each['issuer']}, {each['items']} pictures, {each['dataset']}" for each in facts["contributors"]
    ]
    lines += [f"left out  {each['reason']}, in round {each['round']}" for each in facts["left_out"]]
    lines += [
        f"weights   {facts['weights']}",
        f"dataset   {facts['dataset']}, which these add up to",
        f"base      {facts['base']} {adapter.base_digest}",
        f"release   {release}",
    ]
    return "\n".join(lines)
