"""Makes the pictures of the desk in docs/images: its pages in a real browser, on the demo's people, at a moment that never changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Final, Literal, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright

from hf_gate.localhub.server import LocalHubServer, build_app
from tools.terminal_picture import IMAGES, POLICY, REPO, ROOT

MOMENT: Final = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
LARGEST: Final = 150_000  # bytes of a picture
TEXTS: Final = """\
templates:
  say-more: Please say in one or two sentences what you will study, then ask again.
  other-use: Thank you; these recordings may not be used for that.
"""
Scheme = Literal["light", "dark"]


class Picture(NamedTuple):
    """One page. `scene` brings it up in a browser that is signed in."""

    scene: Callable[[Page, str], None]
    scheme: Scheme = "light"
    width: int = 1280
    height: int = 800


# ---- the scenes --------------------------------------------------------------------------------------------------------


def _queue(page: Page, url: str) -> None:
    page.goto(f"{url}/queue?q=status:pending+repo:harbour-voices")
    page.keyboard.press("a")
    expect(page.locator("#tray")).to_contain_text("leaves in")
    page.get_by_role("button", name="Hold").click()
    expect(page.locator("#tray")).to_contain_text("for you to send")
    page.keyboard.press("j")


def _request(page: Page, url: str) -> None:
    page.goto(f"{url}/queue?q=status:pending+verdict:reset+repo:harbour-voices")
    page.keyboard.press("j")
    page.keyboard.press("o")
    expect(page.locator("#h-s + div")).not_to_contain_text("From the same mail domain, and")
    page.keyboard.press("s")
    expect(page.locator("#sheet [data-enter]")).to_be_focused()


def _detail(page: Page, url: str) -> None:
    page.goto(f"{url}/queue?q=status:pending+verdict:accept+repo:harbour-voices")
    page.keyboard.press("j")
    page.keyboard.press("o")
    expect(page.get_by_role("heading", name="Similar requests")).to_be_attached()


def _plan(page: Page, url: str) -> None:
    page.goto(f"{url}/plans")
    page.locator("main form[action='/plans'] button").first.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def _policy(page: Page, url: str) -> None:
    page.goto(f"{url}/policies/voices")


PICTURES: Final[Mapping[str, Picture]] = {
    "desk-queue": Picture(_queue),
    "desk-queue-dark": Picture(_queue, "dark"),
    "desk-request": Picture(_detail),
    "desk-reset-dark": Picture(_request, "dark"),
    "desk-plan": Picture(_plan),
    "desk-phone": Picture(_detail, "light", 390, 780),
}

# ---- the desk ------------------------------------------------------------------------------------------------------------


@contextmanager
def _hub() -> Iterator[tuple[str, str]]:
    """A local Hub with the demo's people whose clock begins at the moment; its address, and the owner's token."""
    app = build_app(seed=7, requests=700)
    app.clock._ahead = MOMENT.timestamp() - app.clock.now()  # noqa: SLF001 - a clock is pushed ahead only, and this one is set
    app.reset()
    serving = LocalHubServer(app)
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    serving.wait_ready()
    try:
        yield serving.url, next(token.secret for token in app.world.tokens.values() if token.name == "owner")
    finally:
        serving.stop()
        thread.join()


@contextmanager
def _desk(folder: Path, hub: str, token: str) -> Iterator[tuple[str, str]]:
    """A desk on it, read and judged, in the browser; its address, and the link that signs in."""
    environment = os.environ | {
        "HF_ENDPOINT": hub, "HF_TOKEN": token, "HF_GATE_CLOCK": "hub", "PYTHONPATH": str(ROOT / "src"), "TZ": "UTC",
        **{f"XDG_{name}_HOME": str(folder.parent / name.lower()) for name in ("DATA", "CACHE", "STATE", "CONFIG")},
    }  # fmt: skip

    def run(*words: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "hf_gate", *words], cwd=folder, env=environment, check=True, capture_output=True
        )

    run("init", REPO, "lumen-labs/lantern-7b-chat", "kestrel-code/kestrel-coder-3b")
    (folder / "policies" / "starter.yaml").unlink()
    (folder / "policies" / "voices.yaml").write_text(POLICY.replace(f"[{REPO}]", '["*/*", "datasets/*/*"]'), "utf-8")
    with (folder / "hf-gate.yaml").open("a") as file:
        file.write(TEXTS)
    run("sync")
    run("plan")
    words = [sys.executable, "-m", "hf_gate", "ui", "--no-open", "--json", "--port", "0", "--hold", "60s"]
    with subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as child:
        try:
            told = json.loads(child.stdout.readline() if child.stdout else "")
            yield told["url"], told["login_url"]
        finally:
            child.terminate()


# ---- the pictures --------------------------------------------------------------------------------------------------------


def _shot(browser: Browser, picture: Picture, url: str, session: StorageState) -> bytes:
    context = browser.new_context(
        viewport={"width": picture.width, "height": picture.height},
        color_scheme=picture.scheme,
        storage_state=session,
        reduced_motion="reduce",
    )
    page = context.new_page()
    picture.scene(page, url)
    page.mouse.move(0, picture.height - 1)
    page.evaluate(_ALIKE)
    shot = page.screenshot()
    page.evaluate(
        "() => fetch('/tray/undo', {method: 'POST'}).then(() => null)"
    )  # the browser alone knows the desk's own name
    context.close()
    return smaller(shot)


_ALIKE: Final = """() => {
  for (const part of document.querySelector("#sync").childNodes)
    if (part.nodeType === Node.TEXT_NODE && /\\d/.test(part.textContent)) part.textContent = "4 s";
  for (const part of document.querySelectorAll("#sync .next")) part.textContent = " · next in 18 s";
  for (const foot of document.querySelectorAll(".foot > span")) foot.textContent = foot.textContent.replace(/:\\\\d+/, ":8000");
  document.activeElement.style.caretColor = "transparent";
}"""
"""What differs from one run to the next: how long ago it was read, and at which port."""


def smaller(png: bytes) -> bytes:
    """The same picture by a palette of 256 colours."""
    small = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def main() -> None:
    """Draw all, or those that are named."""
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if path is None:
        sys.exit("There is no Chromium here: tools/chromium.sh sees to one.")
    names = sys.argv[1:] or list(PICTURES)
    with tempfile.TemporaryDirectory() as home, _hub() as (hub, token):
        folder = Path(home) / "voices"
        folder.mkdir()
        with _desk(folder, hub, token) as (_, link), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
            first = browser.new_context()
            page = first.new_page()
            page.goto(link)
            expect(page.locator("#sync")).to_contain_text("synced", timeout=60_000)
            url = page.url.partition("/queue")[0]  # signing in leads to the desk's own name
            for name in names:
                png = _shot(browser, PICTURES[name], url, first.storage_state())
                if len(png) > LARGEST:
                    sys.exit(f"{name}.png has {len(png):,} bytes; {LARGEST:,} are allowed.")
                (IMAGES / f"{name}.png").write_bytes(png)
                print(f"docs/images/{name}.png: written, {len(png):,} bytes")
            browser.close()


if __name__ == "__main__":
    main()
