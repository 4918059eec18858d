"""What `make test-contracts` runs beside forge: the compiler's stand-in and three gates."""
