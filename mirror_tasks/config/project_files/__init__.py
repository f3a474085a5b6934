"""``pyproject.toml``: what a project requires, its extras and groups, and what building it takes."""
