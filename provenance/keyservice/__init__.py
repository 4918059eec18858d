"""The key service: hands a wrapped content key to whoever proves to hold a licensed account."""
