"""Writes the desk of the demo as pages that can only be read, for a static host: `make demo-site`.

A desk with invented people runs on a local Hub, as for the pictures of the docs. This program signs in, follows the links of
its pages up to a limit, and writes each page without scripts. Controls are disabled, and links lead to the other files.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPCookieProcessor, build_opener

ROOT: Final = Path(__file__).resolve().parents[2]
SITE: Final = ROOT / "build" / "demo-site"
FIRST: Final = "/queue"
LIMITS: Final[Mapping[str, int]] = {
    "queue": 36, "requests": 60, "people": 16, "repos": 4, "policies": 6, "plans": 3, "audit": 14, "tables": 3,
    "overview": 1, "keys": 1, "ends": 1, "access": 1, "tray": 1,
}  # fmt: skip
"""How many pages of each kind are written. Pages of another kind, such as settings and files, are left out."""
DECIDED: Final = {"accept": ("accept",), "reset": ("reset", "--reason-template", "say-more")}  # some, by their verdicts
NOTICE: Final = "This is a demo, nothing is sent."
RIBBON: Final = (
    f'<aside class="demo-notice" aria-label="About these pages"><b>{NOTICE}</b> The people are invented, and you can look but '
    "not decide. To decide, run <code>hf-gate demo</code>.</aside>"
)
POLICY_OF_THE_PAGE: Final = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'self' file:; img-src 'self' file: data:; "
    "form-action 'none'; base-uri 'none'\">"
)
_CONTROLS: Final = frozenset({"button", "input", "select", "textarea", "fieldset"})
_DROPPED: Final = frozenset({"nonce", "action", "formaction", "method", "download", "ping", "autofocus", "disabled"})
_NO_PAGE: Final = re.compile(r"\.\w+$|/(export|events|similar|why|live|reset|reject|cancel|erase)$")
"""Files, parts of pages, and pages that only ask for a decision."""
_TOKENS: Final = re.compile(r"\bhf_\w{6,}|[?&]t=[\w-]{20,}|desk-[0-9a-f]{20}\.localhost")
_ADDRESS: Final = re.compile(r"(?:https?://)?127\.0\.0\.1(?::\d+)?")


def _is_left_out(tag: str, values: Mapping[str, str | None]) -> bool:
    is_hidden = tag == "input" and values.get("type") == "hidden"
    return is_hidden or (tag == "meta" and values.get("name") == "htmx-config")


def _is_left_out_whole(tag: str, values: Mapping[str, str | None]) -> bool:
    """Whether a part of a page does nothing without scripts: they themselves, the list of keys."""
    return tag == "script" or values.get("class") == "keys"


class DemoPage(HTMLParser):
    """Reads a page of the desk, and builds the page that can only be read. `files`: the file of each address."""

    def __init__(self, files: Mapping[str, str]) -> None:
        super().__init__(convert_charrefs=False)
        self.links: list[str] = []
        self.statics: set[str] = set()
        self._files = files
        self._parts: list[str] = []
        self._skipped = ""

    def build(self, body: str) -> str:
        """Return the page."""
        self.feed(body)
        self.close()
        page = _ADDRESS.sub("local-hub", "".join(self._parts))
        return page.replace("<head>", f"<head>{POLICY_OF_THE_PAGE}", 1)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._begin(tag, dict(attrs), ">")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._begin(tag, dict(attrs), "/>")

    def _begin(self, tag: str, values: dict[str, str | None], end: str) -> None:
        if self._skipped or _is_left_out(tag, values):
            return
        if _is_left_out_whole(tag, values):
            self._skipped = tag
            return
        written = "".join(
            f" {name}" if value is None else f' {name}="{escape(value)}"' for name, value in self._keep(tag, values)
        )
        self._parts.append(f"<{tag}{written}{end}")
        if tag == "body":
            self._parts.append(RIBBON)

    def _keep(self, tag: str, values: Mapping[str, str | None]) -> Iterator[tuple[str, str | None]]:
        """Yield the attributes that stay, and those that disable a control or a link that leads nowhere."""
        leads = False
        unhidden = {"hidden"} if "data-script" in values else set()  # a script would show it
        for name, value in values.items():
            if name in {"href", "src"}:
                place = self._lead(value or "", is_link=tag == "a")
                leads = place is not None
                if leads:
                    yield name, place
            elif (
                name not in _DROPPED | unhidden
                and not name.startswith(("hx-", "on"))
                and (tag, name) != ("button", "value")
            ):
                yield name, value
        if tag in _CONTROLS:
            yield "disabled", None
        if tag == "a" and not leads:
            yield from (("role", "link"), ("aria-disabled", "true"))

    def handle_endtag(self, tag: str) -> None:
        if self._skipped:
            self._skipped = "" if tag == self._skipped else self._skipped
        else:
            self._parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self._parts.append(data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")

    def handle_decl(self, decl: str) -> None:
        self.handle_data(f"<!{decl}>")

    def _lead(self, target: str, *, is_link: bool) -> str | None:
        """Return where a link of the page leads here; None if to nothing."""
        if target.startswith("#"):
            return target
        if not is_link and target.startswith("/static/"):
            self.statics.add(target)
            return f"static/{Path(target).name}"
        if not target.startswith("/"):
            return target if target.startswith("data:") else None
        address, sign, anchor = target.partition("#")
        self.links.append(address)
        return f"{file}{sign}{anchor}" if (file := self._files.get(address)) else None


def name_file(address: str) -> str:
    """Return the name of the file for a page."""
    if address == FIRST:
        return "index.html"
    words = re.sub(r"[^a-z0-9]+", "-", unquote(address).lower()).strip("-")
    short = words[:60].rstrip("-")
    return (
        f"{short}.html"
        if short == words and "?" not in address
        else f"{short}-{hashlib.sha256(address.encode()).hexdigest()[:6]}.html"
    )


class DeskReader:
    """Somebody who signed in to a desk and reads its pages."""

    def __init__(self, link: str) -> None:
        self._url = link.partition("/sign-in")[0]
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()))
        self._opener.open(link).close()

    def read(self, address: str) -> bytes | None:
        """Return a page or a file; None if there is none."""
        try:
            with self._opener.open(self._url + address) as answer:
                body: bytes = answer.read()
                return body
        except HTTPError:
            return None

    def crawl(self, begin: Iterable[str]) -> dict[str, str]:
        """Return pages by their addresses: those named, and those to which they lead, up to the limits."""
        pages: dict[str, str] = {}
        counts: Counter[str] = Counter()
        waiting = deque(begin)
        while waiting:
            address = waiting.popleft()
            path = urlsplit(address).path
            kind = path.split("/")[1]
            if address in pages or _NO_PAGE.search(path) or counts[kind] >= LIMITS.get(kind, 0):
                continue
            body = self.read(address)
            if body is None:
                continue
            counts[kind] += 1
            pages[address] = body.decode()
            page = DemoPage({})
            page.build(pages[address])
            waiting.extend(page.links)
        return pages


def write_site(reader: DeskReader, site: Path) -> int:
    """Write the pages and what they need; return how many pages there are."""
    shutil.rmtree(site, ignore_errors=True)
    (site / "static").mkdir(parents=True)
    pages = reader.crawl([FIRST, *(f"/{kind}" for kind in LIMITS if kind != "requests")])
    files = {address: name_file(address) for address in pages}
    statics: set[str] = set()
    for address, body in pages.items():
        page = DemoPage(files)
        text = page.build(body)
        if secret := _TOKENS.search(text):
            message = f"{address} shows {secret[0][:12]}..., which may be a secret"
            raise ValueError(message)
        statics |= page.statics
        (site / files[address]).write_text(text, "utf-8")
    for target in statics:
        (site / "static" / Path(target).name).write_bytes(reader.read(target) or b"")
    with (site / "static" / "desk.css").open("a", encoding="utf-8") as style:
        style.write(Path(__file__).with_name("demo.css").read_text("utf-8"))
    return len(pages)


def write_demo(site: Path) -> int:
    """Run a desk, and write its pages; return how many there are."""
    sys.path.insert(0, str(ROOT))
    from tools.desk_pictures import run_desk, run_hub

    with tempfile.TemporaryDirectory() as home, run_hub() as (hub, token):
        folder = Path(home) / "voices"
        folder.mkdir()
        with run_desk(folder, hub, token) as desk:
            for verdict, decide in DECIDED.items():
                rows = desk.run(
                    "ls", "--query", f"status:pending verdict:{verdict}", "--format", "jsonl", "--limit", "8"
                )
                desk.run(*decide, "-", "--yes", text=rows)
            return write_site(DeskReader(desk.link), site)


def main() -> None:
    """Write the site into build/."""
    count = write_demo(SITE)
    print(f"{SITE.relative_to(ROOT)}/index.html: {count} pages")


if __name__ == "__main__":
    main()
