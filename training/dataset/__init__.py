"""What a training sees of its dataset: views, captions, masks, latents, and the order they come in."""
