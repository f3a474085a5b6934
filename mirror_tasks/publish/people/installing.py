"""The lines that make clients use this index: pip, uv, poetry."""

from __future__ import annotations

from collections.abc import Mapping

from mirror_tasks.publish.people.markup import Markup, joined, markup
from mirror_tasks.publish.people.parts import section

# A page can't know where it is served. search.js fills in the place; these stand where there is no JavaScript.
_PLACES = {
    "index": markup('<span data-fill="index">http://HOST:PORT/simple/</span>'),
    # pip refuses plain HTTP from another host unless told to trust it.
    "trust": markup('<span data-fill="trust">--trusted-host HOST </span>'),
    "trusted": markup('<span data-fill="trust">\ntrusted-host = HOST</span>'),
}


def install(name: str | None) -> Markup:
    """Return the lines that make clients use this index, to install a project or any."""
    items = joined(
        markup('<div class="way"><h3>{}</h3><pre><code>{}</code></pre></div>\n', tool, lines)
        for tool, lines in _ways(name or "NAME").items()
    )
    lines = markup(
        '<div class="ways">{}</div>\n'
        '<p class="note" data-fill="hint">HOST and PORT are those in the address of this page. '
        "Over HTTPS, write https and leave out trusted-host.</p>\n",
        items,
    )
    if name:
        return section("install", "Install", lines)
    title = "How to use this index: lines for pip, uv, poetry and pip.conf"
    return markup("<details><summary>{}</summary>\n{}</details>\n", title, lines)


def _ways(name: str) -> Mapping[str, Markup]:
    """Return what to type or to write to install a project from this index, by the tool that reads it."""
    return {
        "pip": markup("pip install {trust}--index-url {index} {name}", name=name, **_PLACES),
        "uv": markup("uv pip install --default-index {index} {name}", name=name, **_PLACES),
        "poetry": markup(
            "poetry source add --priority=primary mirror {index}\npoetry add {name}", name=name, **_PLACES
        ),
        "pip.conf": markup("[global]\nindex-url = {index}{trusted}", **_PLACES),
    }
