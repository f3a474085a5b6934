"""Where a virtual environment has its Python."""

from __future__ import annotations

import os
from pathlib import Path


def python_of(folder: Path) -> Path:
    """Return the path of the Python of the virtual environment in ``folder``."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
