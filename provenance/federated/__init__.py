"""Adapters that several parties trained together: their signed statements, and the dataset they add up to."""
