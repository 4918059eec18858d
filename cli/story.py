"""The demo's story: what a maker, a licensee and a verifier do, each with the real functions behind the commands."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import note, paint, progress
from cli.contact_sheet import Cell, draw_sheet
from cli.screening import screening_line
from provenance.canonical import Json
from provenance.errors import ProvenanceError, UsageError
from provenance.files import write_file

if TYPE_CHECKING:
    from provenance.home import Home
    from provenance.verify import Report

MARKER = "made-by-prov-demo.txt"
PRICE = 10**16
YEAR = 365 * 24 * 3600
PROMPTS = (
    "a red rocket in a meadow",
    "a blue rocket at night",
    "a yellow rocket by the sea",
    "a purple rocket in the snow",
)


@dataclass
class Story:
    """What happened: the verdict of every step by name, and where the contact sheet is."""

    out: Path
    verdicts: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def sheet(self) -> Path:
        """The picture of all pictures."""
        return self.out / "contact-sheet.png"

    def to_json(self) -> Json:
        """The verdicts, for a program."""
        return {"verdicts": self.verdicts, "contact_sheet": str(self.sheet)}

    def step(self, title: str, command: str) -> None:
        """Says what comes next, and the command that does it."""
        note(f"\n{paint(title, 'bold')}\n  $ {command}")

    def result(self, name: str, verdict: str, text: str) -> None:
        """Notes the outcome of one step."""
        self.verdicts[name] = verdict
        colour = "green" if verdict in ("authentic", "recovered", "done") else "red"
        note(f"  {paint(verdict, colour):<10} {text}")


def tell(out: Path, *, quick: bool = False) -> Story:
    """Runs the story in a fresh folder; raises UsageError rather than touch a folder that is not the demo's.

    ``quick`` trains for a few steps only: every verdict is the same, the pictures show less of what was learnt.
    """
    _clear(out)
    story = Story(out)
    home = _set_up(story)
    token, training = _make(story, home, quick)
    pictures, generated = _generate_and_verify(story, home, token)
    forged = _forge(story, home, pictures)
    licensed = _refuse_and_license(story, home, token)
    draw_sheet(
        story.sheet,
        "prov: pictures with a history",
        "rockets from a LoRA trained on signed drawings, and what a verifier finds out later",
        [
            ("The signed dataset: CC-BY-4.0, every right on record", training),
            ("Generated, screened, watermarked, signed, anchored", generated),
            ("What happens to pictures in the wild", forged),
            ("Licences and safety", licensed),
        ],
    )
    note(f"\n{len(story.verdicts)} results in {time.monotonic() - story.started:.0f} s")
    return story


def _clear(out: Path) -> None:
    if out.exists() and any(out.iterdir()) and not (out / MARKER).exists():
        raise UsageError(
            f"{out} holds other files", expected="a new folder, or one an earlier demo made", fix="use --out"
        )
    shutil.rmtree(out, ignore_errors=True)
    write_file(out / MARKER, b"`prov demo` empties this folder and writes it anew.\n")


def _set_up(story: Story) -> Home:
    from provenance.setup import set_up

    story.step("An identity, an account and a ledger of one's own", "prov init --name 'Demo Studio'")
    made = set_up(story.out / "home", name="Demo Studio")
    story.result("init", "done", f"account {made.address}, chain {made.chain_id}, contract {made.contract}")
    return made.home


def _make(story: Story, home: Home, quick: bool) -> tuple[int, list[Cell]]:
    """The maker: sign drawings, train on them, publish the adapter and offer licences."""
    from cli.train import training_progress
    from generation.starter.demo_dataset import write_demo_dataset
    from provenance.base import resolve_base
    from provenance.dataset import sign_dataset, verify_dataset
    from provenance.identity import load_issuer
    from provenance.ledger import open_ledger
    from provenance.ledger.accounts import load_account
    from provenance.ledger.licences import Terms
    from provenance.release import publish_release
    from provenance.screening.run import screen_dataset
    from provenance.screening.screens import ScreeningChoice, open_screens
    from provenance.screening.subjects import subjects_of_folder
    from provenance.stores import open_store
    from provenance.trust import TrustStore
    from training.config import TrainConfig
    from training.lora import train

    issuer, trust = load_issuer(home), TrustStore.of_home(home)
    drawings, dataset, adapter = story.out / "drawings", story.out / "dataset", story.out / "adapter"
    report = story.out / "screening.json"
    story.step("Drawings of rockets, screened by the safety policy", f"prov dataset screen {drawings} --out {report}")
    drawn = write_demo_dataset(drawings)
    screening = screen_dataset(subjects_of_folder(drawings), open_screens(ScreeningChoice(), "starter"))
    write_file(report, screening.to_bytes())
    story.result("screen", "refused" if screening.blocked else "done", screening_line(screening))

    story.step(
        "Signed with the rights in them, and with what the screening found",
        f"prov dataset sign {drawings} --license CC-BY-4.0 --holder 'Demo Studio' --screening {report} --out {dataset}",
    )
    sign_dataset(drawings, dataset, issuer=issuer, licence="CC-BY-4.0", holder="Demo Studio", screening=screening)
    manifest = verify_dataset(dataset, trust)
    story.result("dataset", "done", f"{len(manifest.records)} pictures, digest {manifest.digest[:16]}…")

    story.step("A LoRA on the embedded model", f"prov train {dataset} --name rockets --out {adapter}")
    base = resolve_base("starter")
    config = TrainConfig.load(base.folder.parent / "demo_train.toml")
    if quick:
        config = replace(config, steps=20, warmup_steps=2, sample_every=0)
    trained = train(manifest, base, config, adapter, issuer=issuer, name="rockets", progress=training_progress())
    story.result("train", "done", f"weights {trained.weights_digest[:16]}…, attested and signed")

    story.step("Published as a token, with licences on offer", f"prov model publish {adapter} --dataset {dataset}")
    ledger, account = open_ledger(home), load_account(home)
    token = publish_release(
        adapter,
        dataset,
        home=home,
        ledger=ledger,
        store=open_store(home),
        account=account,
        trust=trust,
        include_data=True,
        terms={"licence": "one account, one year", "commercial": True},
    )
    ledger.make_offer(account, token.token, Terms(price=PRICE, duration=YEAR))
    story.result("publish", "done", f"token {token.token}, release {token.cid}")
    return token.token, [Cell(path.with_suffix(".txt").read_text().strip(), "signed", path) for path in drawn[:4]]


def _generate_and_verify(story: Story, home: Home, token: int) -> tuple[list[Path], list[Cell]]:
    from generation.order import generate
    from generation.request import GenerationRequest

    images = story.out / "images"
    story.step("Four pictures", f"prov generate --prompts prompts.txt --model {token} --seed 7 --out {images}")
    request = GenerationRequest(PROMPTS, model=str(token), seed=7)
    issue = generate(request, home=home, out=images, progress=progress("  drawing"))
    paths = [issued.path for issued in issue.images]
    story.result("generate", "done", ", ".join(path.name for path in paths))

    story.step("Anchored in one transaction", "prov anchor")
    _anchor(story, home, "anchor")

    story.step("Verified", "prov verify " + " ".join(str(path) for path in paths))
    reports = [_verify(story, home, f"verify-{number}", path) for number, path in enumerate(paths, 1)]
    return paths, [
        Cell(prompt, report.verdict.value, path) for prompt, path, report in zip(PROMPTS, paths, reports, strict=False)
    ]


def _forge(story: Story, home: Home, pictures: list[Path]) -> list[Cell]:
    """The wild: recompression, a crop, an edited manifest, a copied watermark; and a bundle checked offline."""
    from cli.forgeries import copied_watermark, edited_manifest, stripped_and_recompressed, turned_and_cropped

    folder = story.out / "in-the-wild"
    stripped, cropped = folder / "stripped.jpg", folder / "cropped.jpg"
    edited, copied = folder / "edited.png", folder / "copied.png"
    bundle, root = story.out / "rocket.prov.car", home.path / "identity" / "root.pem"
    story.step(
        "All evidence for one picture in one file, verified with no home, no chain and no network",
        f"prov bundle {pictures[0]} --out {bundle} && prov verify {pictures[0]} --bundle {bundle} --trust {root}",
    )
    _bundled(story, home, pictures[0], bundle, root)

    story.step("Metadata stripped, recompressed as JPEG 80", f"prov verify {stripped}")
    stripped_and_recompressed(pictures[0], stripped)
    recovered = _verify(story, home, "stripped", stripped)

    story.step("Stripped, turned by 7°, cropped and recompressed as JPEG 70", f"prov verify {cropped}")
    turned_and_cropped(pictures[3], cropped)
    part = _verify(story, home, "cropped", cropped)

    story.step("One letter of the manifest edited", f"prov verify {edited}")
    edited_manifest(pictures[1], edited)
    tampered = _verify(story, home, "edited", edited)

    story.step("The watermark of one picture put into a foreign one", f"prov verify {copied}")
    copied_watermark(pictures[2], copied)
    transplanted = _verify(story, home, "copied", copied)

    return [
        Cell("stripped, JPEG 80", recovered.verdict.value, stripped),
        Cell("stripped, turned, cropped, JPEG 70", part.verdict.value, cropped),
        Cell("manifest edited", tampered.verdict.value, edited),
        Cell("foreign picture, copied mark", transplanted.verdict.value, copied),
    ]


def _refuse_and_license(story: Story, home: Home, token: int) -> list[Cell]:
    """The licensee: a blocked prompt, no licence, then a bought one."""
    from generation.order import generate
    from generation.request import GenerationRequest
    from provenance.ledger import open_ledger
    from provenance.ledger.accounts import load_account
    from provenance.setup import set_up

    blocked, wanted = "a purple skull at night", "an orange rocket in the desert"
    story.step("A blocked prompt", f"prov generate '{blocked}' --model {token}")
    _refused(
        story, "blocked", lambda: generate(GenerationRequest((blocked,), model=str(token)), home=home, out=story.out)
    )

    images = story.out / "licensed"
    request = GenerationRequest((wanted,), model=str(token), seed=3)
    story.step("A second account without a licence", f"prov generate '{wanted}' --model {token} --as licensee")
    set_up(home.path, name="Demo Studio", account="licensee")
    _refused(story, "unlicensed", lambda: generate(request, home=home, account="licensee", out=images))

    story.step("It buys one, and may", f"prov license buy {token} --as licensee && prov generate '{wanted}' …")
    licence = open_ledger(home).buy(load_account(home, "licensee"), token)
    story.result(
        "licence", "done", f"paid {PRICE} wei, valid until {time.strftime('%Y-%m-%d', time.gmtime(licence.expires))}"
    )
    story.step("And gets the weights' key, which opens for it alone", f"prov keys wrap {token} --to licensee")
    _hand_over(story, home, token)
    issued = generate(request, home=home, account="licensee", out=images).images[0]
    _anchor(story, home, "anchor-licensee", account="licensee")
    report = _verify(story, home, "licensed", issued.path)
    return [
        Cell(blocked, "refused"),
        Cell("no licence", "refused"),
        Cell(wanted, report.verdict.value, issued.path),
    ]


def _hand_over(story: Story, home: Home, token: int) -> None:
    from provenance.ledger import open_reader
    from provenance.ledger.accounts import load_keystore
    from provenance.sealing import public_key_of, wrap_for

    reader, licensee = open_reader(home), load_keystore(home, "licensee")
    wrapped = wrap_for(home, reader, reader.token(token), load_keystore(home), public_key_of(licensee.private_key))
    story.result("key", "done", f"key {wrapped.key_id[:16]}… of the sealed weights, wrapped for {wrapped.account}")


def _anchor(story: Story, home: Home, name: str, account: str | None = None) -> None:
    from provenance.anchoring import anchor_pending
    from provenance.journal import Journal
    from provenance.ledger import open_ledger
    from provenance.ledger.accounts import load_account
    from provenance.stores import open_store

    with Journal.of_home(home) as journal:
        batches = anchor_pending(home, open_ledger(home), open_store(home), journal, load_account(home, account))
    for batch in batches:
        story.result(name, "done", f"stream {batch.stream}, {batch.count} records, root {batch.root[:16]}…")


def _verify(story: Story, home: Home, name: str, path: Path) -> Report:
    from provenance.ledger import open_reader
    from provenance.stores import open_store
    from provenance.trust import TrustStore
    from provenance.verify import verify_image

    started = time.monotonic()
    report = verify_image(path, reader=open_reader(home), store=open_store(home), trust=TrustStore.of_home(home))
    story.result(name, report.verdict.value, f"{path}  ({(time.monotonic() - started) * 1000:.0f} ms)")
    return report


def _bundled(story: Story, home: Home, path: Path, bundle: Path, root: Path) -> None:
    from provenance.bundle import make_bundle
    from provenance.identity import load_issuer
    from provenance.ledger import open_reader
    from provenance.stores import open_store
    from provenance.trust import TrustStore
    from provenance.verify import verify_image

    trust = TrustStore.of_home(home)
    size = make_bundle(
        path, bundle, reader=open_reader(home), store=open_store(home), trust=trust, issuer=load_issuer(home)
    )
    report = verify_image(path, trust=TrustStore(frozenset()).with_pem(root), bundle=bundle)
    story.result("bundle", report.verdict.value, f"{bundle}, {size / 1000:.0f} kB")


def _refused(story: Story, name: str, attempt: Callable[[], object]) -> None:
    try:
        attempt()
    except ProvenanceError as error:
        story.result(name, "refused", error.what)
    else:
        raise AssertionError(f"{name} should have been refused")
