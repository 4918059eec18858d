"""Solidity sources, compiled artefacts, and the few lines that load them."""
