"""The architectures that can be trained, each behind one interface: `training.families.protocol.Family`."""
