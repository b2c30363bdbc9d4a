"""Takes the pictures of the desk in docs/images: its pages in Chromium, with the demo's people, at a fixed time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Final, Literal, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright

from hf_gate.localhub.server import LocalHubServer, build_local_hub_app
from tools.terminal_picture import IMAGES, POLICY, REPO, ROOT

MOMENT: Final = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
LARGEST: Final = 150_000  # bytes of a picture
WORDS: Final = IMAGES / "pictures.json"
"""The words of each pictured page when its picture was taken, so that a test can tell when a page has changed."""
TEXTS: Final = """\
templates:
  say-more: Please say in one or two sentences what you will study, then ask again.
  other-use: Thank you; these recordings may not be used for that.
"""
Scheme = Literal["light", "dark"]


class Picture(NamedTuple):
    """One page. `scene` opens it in a browser that is signed in."""

    scene: Callable[[Page, str], None]
    scheme: Scheme = "light"
    width: int = 1280
    height: int = 800


# ---- scenes ----------------------------------------------------------------------------------------------------------


def _open_queue(page: Page, url: str) -> None:
    page.goto(f"{url}/queue?q=status:pending+repo:harbour-voices")
    page.keyboard.press("a")
    expect(page.locator("#tray")).to_contain_text("will be sent in")
    page.get_by_role("button", name="Hold").click()
    expect(page.locator("#tray")).to_contain_text("for you to send")
    expect(page.locator("#said")).to_be_hidden(timeout=10_000)
    page.keyboard.press("j")
    expect(page.locator("#preview:not(.is-old) h2")).to_be_visible()


def _open_reset_sheet(page: Page, url: str) -> None:
    page.goto(f"{url}/queue?q=status:pending+verdict:reset+repo:harbour-voices")
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.wait_for_url("**/requests/*")
    page.keyboard.press("s")
    expect(page.locator("#sheet [type=radio]:checked")).to_be_focused()


def _open_request(page: Page, url: str) -> None:
    page.goto(f"{url}/queue?q=status:pending+verdict:accept+repo:harbour-voices")
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.wait_for_url("**/requests/*")
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def _open_plan(page: Page, url: str) -> None:
    page.goto(f"{url}/plans")
    page.locator("main form[action='/plans'] button").first.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def _open_policy(page: Page, url: str) -> None:
    page.goto(f"{url}/policies/voices")


PICTURES: Final[Mapping[str, Picture]] = {
    "desk-queue": Picture(_open_queue),
    "desk-queue-dark": Picture(_open_queue, "dark"),
    "desk-request": Picture(_open_request),
    "desk-reset-dark": Picture(_open_reset_sheet, "dark"),
    "desk-plan": Picture(_open_plan),
    "desk-phone": Picture(_open_request, "light", 390, 780),
}

# ---- local Hub and desk ----------------------------------------------------------------------------------------------


@contextmanager
def run_hub() -> Iterator[tuple[str, str]]:
    """Run a local Hub with the demo's people whose clock starts at `MOMENT`; yield its address and the owner's token."""
    app = build_local_hub_app(seed=7, requests=700)
    app.clock._ahead = MOMENT.timestamp() - app.clock.now()  # noqa: SLF001 - `advance` only moves a clock forward, and this one is set back
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


class RunningDesk(NamedTuple):
    """A desk that runs. `run` runs another command in its workspace, with a text on stdin, and returns what it prints."""

    link: str
    run: Callable[..., str]


@contextmanager
def run_desk(folder: Path, hub: str, token: str) -> Iterator[RunningDesk]:
    """Run a desk on that Hub, synced and with verdicts; yield it with the link that signs in."""
    environment = os.environ | {
        "HF_ENDPOINT": hub, "HF_TOKEN": token, "HF_GATE_CLOCK": "hub", "PYTHONPATH": str(ROOT / "src"), "TZ": "UTC",
        **{f"XDG_{name}_HOME": str(folder.parent / name.lower()) for name in ("DATA", "CACHE", "STATE", "CONFIG")},
    }  # fmt: skip

    def run(*words: str, text: str = "") -> str:
        command = [sys.executable, "-m", "hf_gate", *words]
        done = subprocess.run(
            command, cwd=folder, env=environment, check=True, capture_output=True, text=True, input=text
        )
        return done.stdout

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
            yield RunningDesk(told["login_url"], run)
        finally:
            child.terminate()


# ---- pictures --------------------------------------------------------------------------------------------------------


def _take_picture(browser: Browser, picture: Picture, url: str, session: StorageState) -> tuple[bytes, list[str]]:
    """Return a picture of a page, and its text."""
    context = browser.new_context(
        viewport={"width": picture.width, "height": picture.height},
        color_scheme=picture.scheme,
        storage_state=session,
        reduced_motion="reduce",
    )
    page = context.new_page()
    picture.scene(page, url)
    page.mouse.move(0, picture.height - 1)
    page.evaluate(_MAKE_STABLE)
    shot = page.screenshot()
    text = page.locator("body").inner_text()
    page.evaluate(
        "() => fetch('/tray/undo', {method: 'POST'}).then(() => null)"
    )  # from the browser, because only it knows the desk's private host name
    context.close()
    return compress(shot), mask_numbers(text)


def mask_numbers(text: str) -> list[str]:
    """Return the words of a page that do not hold a number. Counts and times differ between runs."""
    return [word for word in text.split() if not any(sign.isdigit() for sign in word)]


_MAKE_STABLE: Final = """() => {
  for (const part of document.querySelector("#sync").childNodes)
    if (part.nodeType === Node.TEXT_NODE && /\\d/.test(part.textContent)) part.textContent = "4 s";
  for (const part of document.querySelectorAll("#sync .next")) part.textContent = " · next in 18 s";
  for (const foot of document.querySelectorAll(".foot > span")) foot.textContent = foot.textContent.replace(/:\\\\d+/, ":8000");
  document.activeElement.style.caretColor = "transparent";
}"""
"""Removes what differs between runs: the time since the last sync, and the port."""


def compress(png: bytes) -> bytes:
    """Return the same picture with a palette of 256 colours."""
    small = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def take_pictures(names: Sequence[str], chromium: str) -> Iterator[tuple[str, bytes, list[str]]]:
    """Yield the name, the picture and the words of each page."""
    with tempfile.TemporaryDirectory() as home, run_hub() as (hub, token):
        folder = Path(home) / "voices"
        folder.mkdir()
        with run_desk(folder, hub, token) as desk, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            first = browser.new_context()
            page = first.new_page()
            page.goto(desk.link)
            expect(page.locator("#sync")).to_contain_text("synced", timeout=60_000)
            url = page.url.partition("/queue")[0]  # signing in redirects to the desk's private host name
            for name in names:
                yield name, *_take_picture(browser, PICTURES[name], url, first.storage_state())
            browser.close()


def main() -> None:
    """Take all pictures, or those that are named, and keep the words of their pages in `WORDS`."""
    path = next(
        (
            found
            for name in ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
            if (found := shutil.which(name))
        ),
        None,
    )
    if path is None:
        sys.exit("Chromium is not installed. Run tools/chromium.sh to install it.")
    words = json.loads(WORDS.read_text("utf-8")) if WORDS.exists() else {}
    for name, png, text in take_pictures(sys.argv[1:] or list(PICTURES), path):
        if len(png) > LARGEST:
            sys.exit(f"{name}.png has {len(png):,} bytes; the limit is {LARGEST:,}.")
        (IMAGES / f"{name}.png").write_bytes(png)
        words[name] = " ".join(text)
        print(f"docs/images/{name}.png: written, {len(png):,} bytes")
    WORDS.write_text(json.dumps(words, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
