"""HTTP on both sides: how a service of ours is served and refuses, and how another's is asked."""
