"""What a run remembers for the next one, in the state folder."""
