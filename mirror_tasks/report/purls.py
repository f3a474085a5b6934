"""Package URLs of releases, by which the documents of an SBOM refer to them."""

from __future__ import annotations

from functools import lru_cache

from packageurl import PackageURL

from mirror_tasks.report.graph import Key


@lru_cache(maxsize=1 << 14)
def purl_of(key: Key) -> PackageURL:
    """Return the purl of a release."""
    return PackageURL("pypi", None, *key)


@lru_cache(maxsize=1 << 14)
def ref_of(key: Key) -> str:
    """Return by what a document refers to a release: its purl as text."""
    return purl_of(key).to_string()
