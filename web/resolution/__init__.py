"""The C2PA Soft Binding Resolution API (2.x) over the records of a home."""
