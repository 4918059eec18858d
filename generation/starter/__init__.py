"""The embedded model: a small latent-diffusion pipeline trained here, and what it was trained on."""
