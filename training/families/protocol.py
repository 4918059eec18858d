"""What training asks of a base, whatever its architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from training.batch import Batch
    from training.noising import Noising


@dataclass(frozen=True)
class Embedded:
    """Captions as a denoiser takes them: ``(B, L, D)`` and, where it asks for it, pooled ``(B, P)``; float32."""

    embeddings: torch.Tensor
    pooled: torch.Tensor | None


class Family(Protocol):
    """A base made ready for training; everything that depends on its architecture is in here."""

    @property
    def pipe(self) -> Any:
        """The diffusers pipeline, for samples."""

    @property
    def denoiser(self) -> torch.nn.Module:
        """What is trained: a UNet or a transformer; what `predict` calls."""

    @property
    def denoiser_prefix(self) -> str:
        """The component that the denoiser is, ``unet`` or ``transformer``: the first part of an adapter's keys."""

    @property
    def text_encoders(self) -> Mapping[str, torch.nn.Module]:
        """The text encoders that the base has, by component: ``text_encoder``, ``text_encoder_2``, …"""

    @property
    def device(self) -> str:
        """The device that training runs on."""

    @property
    def side(self) -> int:
        """The picture side of this training in px: the configured one, or the base's own."""

    @property
    def multiple(self) -> int:
        """Picture sides must be multiples of this many px."""

    @property
    def noising(self) -> Noising:
        """How noise is added, and what is to be predicted."""

    def encode_pixels(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``(B, 3, H, W)`` in [-1, 1] to mean and deviation of latents ``(B, C, h, w)`` in float32 on the CPU."""

    def scale_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """The autoencoder's latents as the denoiser sees them."""

    def embed(self, captions: Sequence[str]) -> Embedded:
        """Captions as generation will encode them, on the text encoders' device; with gradients if they are enabled."""

    def embed_nothing(self) -> Embedded:
        """What guidance takes for no caption at all; one row."""

    def predict(self, batch: Batch) -> torch.Tensor:
        """What the denoiser says to a batch: ``(B, C, h, w)``, in the type that it computes in."""
