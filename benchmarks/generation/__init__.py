"""What a picture's history costs, stage by stage, beside drawing it."""
