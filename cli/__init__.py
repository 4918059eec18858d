"""The `prov` command: parses, calls one function, prints."""
