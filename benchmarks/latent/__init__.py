"""The latent layer measured on the starter model, a toy: `python -m benchmarks.latent`."""
