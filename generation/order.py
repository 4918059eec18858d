"""The one place that orders: licence, screen prompt and input, sample, watermark, screen, sign, record, write.

What comes after sampling (``generation.finishing``) is done to one batch while the next is sampled
(``generation.ahead``).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from generation.ahead import drawn_ahead
from generation.easel import Pictures, Plan, planned
from generation.finishing import HANDS, Finisher, Writer
from generation.issue import Blocked, Issue, Issued
from generation.licence import require_licence, require_quota
from generation.loading import drawing_device, load_pipeline
from generation.making import Teller
from generation.means import Means
from generation.numbering import numbering
from generation.recipe import Recipe
from generation.request import GenerationRequest
from generation.run_state import RunState, request_digest
from generation.sampling import sample, usual_guidance
from generation.schedulers import SCHEDULERS, usual_scheduler
from generation.screening import PromptKey, require_calibrated, screen_input, screen_prompts
from generation.serials import Serials
from generation.source import Source, open_source
from generation.stopping import stoppable
from generation.stream import open_stream, origin_of
from generation.subject import Subject, open_subject
from generation.video import frame_by_frame, frames_of, require_words_or_none, videos
from generation.wanted import batches
from provenance.home import Home
from provenance.identity import load_issuer
from provenance.journal import Journal
from provenance.ledger import open_reader
from provenance.ledger.accounts import account_address
from provenance.policy_signature import verify_policy
from provenance.trust import TrustStore
from safety.content import open_content_filter
from safety.log import BlockedLog
from safety.policy import Policy, open_policy

__all__ = ["Blocked", "Issue", "Issued", "generate"]

Progress = Callable[[int, int], None]


def generate(
    request: GenerationRequest,
    *,
    home: Home,
    account: str | None = None,
    out: Path = Path("images"),
    passphrase: str | None = None,
    progress: Progress | None = None,
    resumable: bool = False,
    resume: bool = False,
    means: Means = Means(),
) -> Issue:
    """Draws every prompt of a request and writes each picture that passes, after its record is stored.

    Refuses before anything is drawn when the account holds no valid licence (LicenceRefused), when the policy blocks
    any prompt (PromptBlocked) or the input picture (InputBlocked), or when the log could not hold what is blocked. A
    picture that the policy blocks is counted and logged, and never written. Raises only ProvenanceError and
    SafetyError; Ctrl-C becomes a GenerationInterrupted. Pictures already written stay recorded. A ``resumable`` run
    keeps its state beside the pictures; with ``resume`` it goes on from there.
    """
    reader = open_reader(home)
    address = account_address(home, account)
    subject = open_subject(request, home, reader)
    require_licence(reader, subject, address)
    require_words_or_none(request, subject.base)
    frames = frames_of(subject.base) if request.wordless else None
    request = request if frames is None else frame_by_frame(request, frames)
    request = replace(request, scheduler=request.scheduler or usual_scheduler(subject.base.family))
    policy = _open_policy(request, home, subject)
    key, log = PromptKey.of_home(home), BlockedLog(home.path / "safety.log")
    who = {"account": address, "chain": reader.identity.chain_id, "contract": reader.identity.contract}
    source = None if request.image is None else open_source(request.image, request.mask)
    digest = request_digest(request, subject, policy.digest, who, key, source)
    total = len(request.prompts)
    with RunState(out if resumable else None, digest, total) as run, stoppable(run, total) as images:
        images |= run.settle(resume, run.recorded(home, out))
        before = len(images)
        first_seed = request.first_seed() if run.first_seed is None else run.first_seed
        asks = request.asks(_guidance(request, subject), first_seed)
        left = [ask for ask in asks if ask.index not in images and ask.index not in run.blocked]
        if not left:
            return _issue(images, run)
        require_quota(reader, home, subject, address, len(left))
        log.require_writable()
        negatives = [ask.negative for ask in left if ask.negative is not None]
        prompts = [ask.prompt for ask in left if ask.prompt]
        decisions = screen_prompts(
            prompts, policy, key, log, subject.base.id, negatives, numbering(left, tuple(request.wanted()))
        )
        content_filter = open_content_filter(policy, subject.base.id, drawing_device())
        require_calibrated(policy, content_filter.model_digest)
        given = None if source is None else (source, screen_input(source, content_filter, key, log))

        issuer = load_issuer(home, passphrase)
        subject = subject.unsealed(home, reader, account, passphrase)
        draw = _drawer(_recipe(request, subject, source, means))
        teller = Teller(request, subject, key, decisions, given, frames)
        run.begin(first_seed)
        with Journal.of_home(home) as journal:
            stream = open_stream(home, journal, account, address, subject.token, passphrase)
            writer = Writer(out, origin_of(reader, stream, subject, issuer), teller, issuer, journal)
            with Serials(journal, stream) as serials, ThreadPoolExecutor(HANDS, "finisher") as hands:
                finisher = Finisher(content_filter, writer, run, log, key, serials, hands)
                together = batches(left, means.batch_size) if frames is None else videos(left, frames)
                plans = planned(together, serials, writer.origin)
                with closing(draw(plans)) as drawings:
                    for plan, pictures in drawings:
                        for index, issued in finisher.finish(plan, pictures):
                            if issued is not None:
                                images[index] = issued
                            if progress:
                                progress(index + 1, total)
        return replace(_issue(images, run), left=len(left), recorded=len(images) - before)


def _issue(images: dict[int, Issued], run: RunState) -> Issue:
    written = [images[index] for index in sorted(images) if images[index].path.is_file()]
    missing = tuple(images[index].path for index in sorted(images) if not images[index].path.is_file())
    return Issue(tuple(written), tuple(run.blocked[index] for index in sorted(run.blocked)), missing)


def _recipe(request: GenerationRequest, subject: Subject, source: Source | None, means: Means) -> Recipe:
    scheduler = request.scheduler or usual_scheduler(subject.base.family)
    # A sampler that draws fresh noise at every step leaves no trace of what it began with: nothing is put there.
    plain = request.plain_noise or SCHEDULERS[scheduler].stochastic
    return Recipe(
        subject.base,
        subject.adapter,
        scheduler,
        request.adapter_scale,
        means,
        marks_noise=not plain,
        source=source,
        strength=None if source is None else request.redrawn,
        wordless=request.wordless,
    )


def _drawer(recipe: Recipe) -> Callable[[Iterable[Plan]], Generator[tuple[Plan, Pictures], None, None]]:
    """What turns plans into pictures; here it is loaded before anything is begun, elsewhere once it is needed."""
    if recipe.means.on == "ray":
        from generation.on_ray import drawn_on_ray

        return lambda plans: drawn_on_ray(plans, recipe)
    easel = recipe.easel(load_pipeline, sample)
    return lambda plans: drawn_ahead(plans, easel.draw)


def _open_policy(request: GenerationRequest, home: Home, subject: Subject) -> Policy:
    """The policy of a request: a file, or the folder of a signed one, which counts if this home trusts who signed."""
    if request.policy is not None and request.policy.is_dir():
        return verify_policy(request.policy, TrustStore.of_home(home)).policy
    return open_policy(request.policy, subject.base.id)


def _guidance(request: GenerationRequest, subject: Subject) -> float:
    return request.guidance if request.guidance is not None else usual_guidance(subject.base)
