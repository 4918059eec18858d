"""The embedded classifier of the starter world."""
