"""Whether the memorisation audit finds what is there and nothing else: adapters trained to memorise, and not to."""
