"""Where things stand in a mirror."""

from __future__ import annotations

from pathlib import Path


def package_path(output: Path, project: str, filename: str) -> Path:
    """Where a file stands in a mirror."""
    return output.joinpath("packages", project, filename)


def beside(path: Path) -> Path:
    """Where the core metadata of the file at ``path`` stands."""
    return path.with_name(f"{path.name}.metadata")


def manifest_paths(output: Path) -> tuple[Path, Path]:
    """Where ``mirror.json`` and ``SHA256SUMS`` stand."""
    return output / "mirror.json", output / "SHA256SUMS"
