"""What the tests of pip's settings share."""

from __future__ import annotations

from mirror_tasks.index import pip_settings


def forget_settings() -> None:
    """Let pip be asked anew. A run asks once, so only tests, which change the settings, have a use for that."""
    pip_settings._pip.cache_clear()
    pip_settings._answer.cache_clear()
