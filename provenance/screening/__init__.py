"""A dataset held against a safety policy before anything is trained on it, and the report that its maker signs."""
