"""Measures key latency in headless Chromium against a desk served by this process."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import uvicorn

from hf_gate.desk.app import build_desk_app
from hf_gate.desk.app_state import AppState
from hf_gate.desk.members.sign_in import Authenticator

from .desk_fixture import empty_tray
from .results import percentile_95

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chromium-headless-shell")

# The page itself dispatches the key; its effect is visible once the second frame after it is drawn.
_PRESS = """
async (key) => {
  const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const asked = performance.now();
  while (document.querySelector(".htmx-request") && performance.now() - asked < 5000) await drawn(); // nobody decides before the answer to the last key
  const row = document.querySelector("#rows > .is-focus"), start = performance.now();
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  await drawn();
  const seen = performance.now() - start;
  while (document.querySelector("#rows > .is-focus") === row) {
    if (performance.now() - start > 5000) throw new Error("the key did not decide the row");
    await drawn();
  }
  return [row.matches(".is-leaving") ? seen : -1, performance.now() - start];
}
"""
_DRAWN = """
() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => {
  const told = performance.getEntriesByType("navigation")[0];
  done(performance.now() - told.startTime);
})))
"""


class KeyTimes(NamedTuple):
    """95th percentiles in milliseconds: until the row shows the decision, the next row has the focus, the next page is drawn."""

    feedback: float
    next_row: float
    next_page: float


def measure_keys(app_state: AppState, rounds: int) -> KeyTimes | None:
    """Return the latencies; None if Chromium or Playwright is not installed."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if path is None:
        return None
    with _serve(app_state) as (url, door), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{url}/sign-in?t={door.make_link()}")
        page.locator("#rows > .is-focus").wait_for()
        pressed = [page.evaluate(_PRESS, "a") for _ in range(max(3, 5 * rounds))]
        page.goto(f"{url}{page.locator('#rows > .is-focus .who').get_attribute('href')}")
        turned = []
        for _ in range(max(3, 2 * rounds)):
            with page.expect_navigation(wait_until="commit"):
                page.keyboard.press("]")
            turned.append(float(page.evaluate(_DRAWN)))
        browser.close()
    empty_tray(app_state)
    return KeyTimes(
        _compute_p95([one[0] for one in pressed]), _compute_p95([one[1] for one in pressed]), _compute_p95(turned)
    )


def _compute_p95(values: list[float]) -> float:
    if min(values) < 0:
        raise RuntimeError("a key was pressed, but its row did not change")
    return percentile_95(values)


@contextmanager
def _serve(app_state: AppState) -> Iterator[tuple[str, Authenticator]]:
    """Serve the pages only: nothing is sent from the tray, and the Hub is not read."""
    door = Authenticator(app_state)
    config = uvicorn.Config(
        cast("Any", build_desk_app(app_state, door, None)),
        port=0,
        lifespan="off",
        log_level="critical",
        access_log=False,
        ws="none",
    )
    server = uvicorn.Server(config)
    ready = threading.Event()

    async def serve() -> None:
        config.load()
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has a flag, no event
            await asyncio.sleep(0.01)
        ready.set()
        await serving

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        if not ready.wait(20) or not server.started:
            raise RuntimeError("the desk did not start")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", door
    finally:
        server.should_exit = True
        thread.join(10)
