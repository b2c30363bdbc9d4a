"""What `docs/promises.md` says about other hosts holds for the source."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from hf_gate.base.network_hosts import PUBLIC_HUB
from tests.kits.paths import PACKAGE, ROOT

# Names that nobody can own (RFC 2606, RFC 6761), and two that only name things and are never called.
_NOBODYS = re.compile(r"(^|\.)(example|invalid|test|localhost|example\.(org|com|net))$")
_NAMES_ONLY = {"json-schema.org", "www.w3.org"}


def _hosts_in_the_source() -> set[str]:
    """The hosts of all addresses that stand in our code, pages and scripts; not those in contained files of others."""
    found = set()
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix in {".py", ".html", ".js", ".css", ".yaml", ".json", ".svg"} and not path.name.endswith(
            ".min.js"
        ):
            for address in re.findall(r"https?://[\w.-]+", path.read_text("utf-8")):
                found.add(urlsplit(address).hostname or "")
    return found


def test_the_source_names_no_host_that_the_page_does_not_name() -> None:
    page = (ROOT / "docs" / "promises.md").read_text("utf-8")
    foreign = {
        host
        for host in _hosts_in_the_source()
        if "." in host and not _NOBODYS.search(host) and host not in _NAMES_ONLY and f"`{host}`" not in page
    }
    assert foreign == set()


def test_the_page_names_the_hub_that_is_asked_by_default() -> None:
    assert f"`{urlsplit(PUBLIC_HUB).hostname}`" in (ROOT / "docs" / "promises.md").read_text("utf-8")
