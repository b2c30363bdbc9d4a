"""Names the browser and system of a User-Agent header. Only known words are shown, because anybody can write the header."""

from __future__ import annotations

from typing import Final

_BROWSERS: Final = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet"), ("Firefox/", "Firefox"), ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("CrOS", "ChromeOS"), ("Windows", "Windows"),
    ("Macintosh", "macOS"), ("Linux", "Linux"),
)  # fmt: skip
_LONGEST: Final = 1000  # characters that are read


def name_browser(user_agent: str) -> str:
    """Return a label such as `Firefox on Linux`; `another program` if the header names no known browser."""
    text = user_agent[:_LONGEST]
    browser = next((name for word, name in _BROWSERS if word in text), None)
    system = next((name for word, name in _SYSTEMS if word in text), None)
    if browser is None:
        return "another program"
    return browser if system is None else f"{browser} on {system}"
