"""From a soft binding back to its manifest: what a resolution service answers, and how credentials are put back."""
