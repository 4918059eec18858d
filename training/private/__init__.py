"""Differentially private steps."""
