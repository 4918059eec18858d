"""Adapters merged from others: what a release keeps of each parent, and which tokens a merge owes its parents to."""
