"""What an index is, how it is reached, and what a project page says."""
