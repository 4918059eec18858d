"""Audits of a model: what it draws when nothing is said of it, and whether it gives its training pictures back."""
