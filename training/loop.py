"""One training step: the gradients of its batches, and what the optimiser makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.canonical import canonical_json, sha256_hex
from training.batch import batch_loss, draw_batch
from training.draws import draw_seed
from training.errors import TrainingError
from training.optimisers import set_learning_rates
from training.precision import take_scaled_step
from training.processes import APPLY, COMPUTE
from training.replay.chain import Taken
from training.replay.digests import batch_tensors, random_digest, tensors_digest

if TYPE_CHECKING:
    import torch

    from training.setup import Setup


def compute_gradients(setup: Setup, step: int) -> Taken:
    """Draws the batches of a step and leaves its gradients in the parameters; gives what the replay chain keeps."""
    config = setup.config
    if config.dp_epsilon:
        raise TrainingError("these gradients would not be private", fix="take those of training.private.gradients")
    ranks = setup.ranks
    ranks.lead(COMPUTE, step)
    taken: list[Taken] = []
    sums: dict[str, torch.Tensor] = {}
    for first in range(0, config.accumulate, ranks.count):
        taken += ranks.gathered(_add_part(setup, step, first + ranks.rank))
        if ranks.count > 1:
            sums = ranks.add_in_order(setup.parameters, sums)
    for name, gradient in sums.items():
        setup.parameters[name].grad = gradient
    loss = 0.0
    for part in taken:
        loss += part.loss
    return Taken(loss, _digest([part.batch for part in taken]), _digest([part.random for part in taken]))


def _add_part(setup: Setup, step: int, part: int) -> Taken:
    """Adds the gradients of one part of a step to those that are there; gives its share of the loss and its digests."""
    import torch

    config = setup.config
    # Dropout inside PEFT draws from the global generator; this makes it a function of step and part.
    torch.manual_seed(draw_seed(config.seed, step, part, "dropout"))
    batch = draw_batch(setup.family, setup.cache, config, step, part)
    read = batch_tensors(batch)
    share = batch_loss(setup.family, batch, config) / config.accumulate
    (share if setup.scaler is None else setup.scaler.scale(share)).backward()  # type: ignore[no-untyped-call]
    # An accelerator is still at work here, and goes on until its loss is asked for: hashing costs it no time.
    digest = tensors_digest(read)
    return Taken(float(share.detach()), digest, random_digest(setup.device))


def _digest(digests: list[str]) -> str:
    return sha256_hex(canonical_json(digests))


def apply_gradients(setup: Setup, step: int) -> None:
    """Clips the gradients, lets the optimiser take its step at that step's learning rates, and forgets them.

    With fp16 a step whose gradients overflow is left out and the loss scale is halved; raises LossNotFinite when they
    overflow at every scale.
    """
    import torch

    setup.ranks.lead(APPLY, step)
    config, optimiser, scaler = setup.config, setup.optimiser, setup.scaler
    set_learning_rates(optimiser, config, step)
    if scaler is not None:
        scaler.unscale_(optimiser)
    if config.grad_clip:
        torch.nn.utils.clip_grad_norm_(setup.parameters.values(), config.grad_clip)
    taken = True
    if scaler is None:
        optimiser.step()
    else:
        taken = take_scaled_step(scaler, optimiser, step)
    optimiser.zero_grad(set_to_none=True)
    if taken and setup.average is not None:
        setup.average.update(setup.parameters, step)
