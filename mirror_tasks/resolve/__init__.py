"""The algorithms, without I/O: what belongs in the mirror, and why."""
