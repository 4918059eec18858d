"""What `prov` answers over HTTP to people and programs that hold a picture."""
