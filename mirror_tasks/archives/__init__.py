"""Core metadata from wheels and sdists that nobody vouches for."""
