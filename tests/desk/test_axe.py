"""No page of the desk keeps anybody out: axe finds nothing, light and dark, wide and narrow; nothing scrolls sideways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from hf_gate.base.ids import parse_repo
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.desk.routes import ROUTES
from hf_gate.members.sessions import SignInMethod
from tests.kits.accessibility import find_accessibility_problems
from tests.kits.desk import POLICY, Desk, open_desk, serve_desk
from tests.kits.desk_actions import create_plan, wait_for_run
from tests.kits.hostile_desk import open_hostile_desk
from tests.kits.outboxes import leave_dead_letters

pytestmark = pytest.mark.slow
LETTERS: Final = "letters: {kinds: [received, ends]}\n"
TABLES: Final = "desk: {may_write_tables: true}\ntables: {people: {file: tables/people.csv, key: email}}\n"
TEMPLATES: Final = "templates: {say-more: 'Please say what you will use it for, then ask again.'}\n"
SHADOW: Final = POLICY.replace("house", "watcher").replace("enforce", "shadow").replace("then: accept", "then: human")
FILES: Final = (".{kind}", "/export", "/events")
LINKS: Final = ("a member", "a link of another site", "a link at another address")
PARTS: Final = frozenset({"/requests/{id}/why", "/runs/{id}/live", "/"})
"""Shown within a page that is looked at, or leading to one."""
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
ALSO: Final[Mapping[int, tuple[int, Literal["active"] | None]]] = {360: (768, None), 1280: (1280, "active")}
"""Beside light and dark, each page is looked at once more: at the width of a tablet, and with forced colours."""


@dataclass(frozen=True)
class BusyDesk:
    """A desk in the middle of a day. `pages`: what each way shows, by its addresses."""

    url: str
    desk: Desk
    link: str
    pages: Mapping[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BusyDesk]:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "tables").mkdir()
    (folder / "tables" / "people.csv").write_text(
        "email,note,version\n" + "".join(f"p{n}@x.example.org,by post,2\n" for n in range(120))
    )
    with open_desk(folder, config=TEMPLATES + TABLES + LETTERS, requests=120, repos=2) as desk:
        (folder / "policies" / "watcher.yaml").write_text(SHADOW, "utf-8")
        with serve_desk(desk) as url:
            yield BusyDesk(url, desk, desk.authenticator.make_link(), _pages(desk, folder))


def _pages(desk: Desk, folder: Path) -> dict[str, tuple[str, ...]]:
    """Plans that are applied and not, a run, a selection, a note, a decision that waits, a policy that is wrong."""
    lena = desk.visitor()
    rows = lena.get("/queue.json").json
    key = rows[2]["request_id"]
    person = desk.app_state.workspace.store.find_by_identity(None, key)[0].person.pseudonym
    lena.post(f"/requests/{key}/note", {"note": "Asked their supervisor."})
    applied = create_plan(desk, lena)
    count = len(lena.get(f"{applied}.json").json["changes"])
    run = lena.post(applied, {"do": "apply", "count": str(count)}).headers["location"]
    wait_for_run(desk, run)
    let_in = lena.get("/queue.json?q=status:accepted").json[0]["request_id"]
    back = lena.post(run, {"do": "undo"}).headers["location"]
    lena.post("/selection", {"do": "all", "q": "status:pending"})
    bulk = lena.post("/bulk", {"verb": "reject"}).headers["location"].partition("?")[0]
    lena.post("/selection", {"do": "clear"})
    lena.post("/tray", {"accept": _button(lena.get("/queue").body), "when": "later"})
    lena.post("/audit/verify")
    _leave_more(desk, folder)
    entry = desk.app_state.workspace.store.entries(limit=1)[0].link
    repo = f"/repos/{desk.repo.type.value}s/{desk.repo.id}"
    return {
        "/queue": ("/queue", "/queue?q=status:pending+colour:red", "/queue?q=status:pending+-quality:junk+mail:free,none", "/queue?q=nobody-at-all", "/queue?q="),
        "/requests/{id}": (f"/requests/{key}", f"/requests/{key}?verb=reset", f"/requests/{key}?verb=reject",
                           f"/requests/{key}?verb=until", f"/requests/{rows[3]['request_id']}", f"/requests/{let_in}", f"/requests/{let_in}?verb=cancel&back=1"),
        "/requests/{id}/{verb}": (f"/requests/{key}/reset",),
        "/tray": ("/tray",),
        "/bulk/{id}": (f"{bulk}?verb=reject",),
        "/find-list": ("/find-list", "a list", "a list to accept"),
        "/selection": ("/selection", "a selection"),
        "/plans": ("/plans",),
        "/plans/{digest}": (applied, back, f"{back}?group=all"),
        "/runs/{id}": (f"{run}?outcome=all",),
        "/overview": ("/overview",),
        "/repos": ("/repos",),
        "/repos/{type}/{ns}/{name}": (repo,),
        "/letters": ("/letters",),
        "/access": ("/access", "/access?as_of=2001-01-01"),
        "/people": ("/people", "/people?q=nobody-at-all"),
        "/people/{id}": (f"/people/{quote(person)}",),
        "/people/{id}/erase": (f"/people/{quote(person)}/erase",),
        "/policies": ("/policies",),
        "/policies/{name}": ("/policies/house", "/policies/watcher", "/policies/wrong"),
        "/tables": ("/tables",),
        "/tables/{name}": ("/tables/people", "/tables/people?q=nobody-at-all", "a change of a table"),
        "/audit": ("/audit", "/audit?kind=nothing"),
        "/audit/desk/{seq}": ("/audit/desk/1",),
        "/audit/{type}/{ns}/{name}/{seq}": (f"/audit/{entry.chain}/{entry.seq}",),
        "/keys": ("/keys",),
        "/settings": ("/settings",),
        "elsewhere": ("/nothing", "the sheet", "a member", "signed out", "a link of another site", "a link at another address"),
    }  # fmt: skip


def _leave_more(desk: Desk, folder: Path) -> None:
    """A person to grant to, a policy that is wrong, and notices that were not delivered."""
    desk.local.add_people([{"username": "never-asked"}])
    (folder / "policies" / "wrong.yaml").write_text(
        POLICY.replace("house", "wrong").replace("academic\n", "acadmic\n"), "utf-8"
    )
    leave_dead_letters(desk.app_state.workspace.store, ["the receiver answered 400", "the receiver answered 410"])


def _button(body: str) -> str:
    return body.partition('name="accept" value="')[2].partition('"')[0]


def test_every_way_is_looked_at_or_gives_a_file(busy: BusyDesk) -> None:
    ways = {way.path for way in ROUTES if way.method == "GET" and not way.path.endswith(FILES)}
    assert ways - set(busy.pages) - PARTS == set()


STILL: Final[Mapping[str, Any]] = {"reduced_motion": "reduce"}
"""Colours that are on their way from one scheme to the other count for nothing."""


@contextmanager
def _signed_in(browser: Browser, busy: BusyDesk, width: int, **more: Any) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": width, "height": 900}, **{**STILL, **more})
    page = context.new_page()
    page.goto(f"{busy.url}/sign-in?t={busy.desk.authenticator.make_link()}")
    yield page
    context.close()


def _looked_at(browser: Browser, busy: BusyDesk, width: int, **more: Any) -> list[tuple[str, str, str]]:
    """Each page in light and dark."""
    found = []
    with _signed_in(browser, busy, width, **more) as page:
        for path in (path for paths in busy.pages.values() for path in paths):
            _go(page, busy, path)
            for scheme in SCHEMES:
                found += _look(page, path, width, scheme)
    return found


def _look(page: Page, path: str, width: int, scheme: Literal["light", "dark"]) -> list[tuple[str, str, str]]:
    """What is wrong with the page as it stands, at this width and in these colours."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    found = [
        (f"{path} {scheme}", one["id"], one["nodes"][0]["html"][:200]) for one in find_accessibility_problems(page)
    ]
    if _overflows(page, width):
        found.append((path, "scrolls sideways", str(page.evaluate("document.documentElement.scrollWidth"))))
    return found


def _look_again(
    page: Page, path: str, width: int, other: int, forced: Literal["active"] | None
) -> list[tuple[str, str, str]]:
    """The page as it stands, at another width or with forced colours; then as it was before."""
    if other != width:
        page.set_viewport_size({"width": other, "height": 900})
    if forced:
        page.emulate_media(forced_colors=forced)
    told = find_accessibility_problems(page, is_recoloured=other == width)
    found = [(f"{path} {other} {forced}", one["id"], one["nodes"][0]["html"][:200]) for one in told]
    if other != width:
        if _overflows(page, other):
            found.append((f"{path} {other}", "scrolls sideways", ""))
        page.set_viewport_size({"width": width, "height": 900})
    if forced:
        page.emulate_media(forced_colors="none")
    return found


def _overflows(page: Page, width: int) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth") > width)


def _looked_at_twice(
    browser: Browser, busy: BusyDesk, paths: Sequence[str], widths: Sequence[int]
) -> list[tuple[str, str, str]]:
    """Each page at each width, and once more as `ALSO` says.

    Each width takes every second page in light and the others in dark, the wide one the other way round; and of rows that
    are alike two count. What is only an address is opened once and then made wide: no script asks for the
    width while a page loads.
    """
    found = []
    with _signed_in(browser, busy, widths[0]) as page:
        for number, path in enumerate(paths):
            for width in widths:
                if width == widths[0] or not path.startswith("/"):
                    page.set_viewport_size({"width": width, "height": 900})
                    _go(page, busy, path)
                found += _look(page, path, width, SCHEMES[(number + (width > 1000)) % 2])
                found += _look_again(page, path, width, *ALSO[width])
    return found


@pytest.mark.parametrize("half", [0, 1])
def test_axe_finds_nothing(browser: Browser, busy: BusyDesk, half: int) -> None:
    """The first half of the addresses; the others, and what is reached by keys and buttons."""
    paths = [path for paths in busy.pages.values() for path in paths if path.startswith("/")]
    if half == 0:
        assert _looked_at_twice(browser, busy, paths[::2], sorted(ALSO)) == []
        return
    others = [path for paths in busy.pages.values() for path in paths if not path.startswith("/")]
    assert _looked_at_twice(browser, busy, paths[1::2], sorted(ALSO)) == []
    assert [found for width in sorted(ALSO) for found in _looked_at_twice(browser, busy, others, [width])] == []


@pytest.mark.torture
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_axe_finds_nothing_with_forced_colours_either(browser: Browser, busy: BusyDesk, width: int) -> None:
    assert _looked_at(browser, busy, width, forced_colors="active") == []


@pytest.mark.torture
def test_axe_finds_nothing_on_a_tablet(browser: Browser, busy: BusyDesk) -> None:
    assert _looked_at(browser, busy, 768) == []


def test_nothing_scrolls_sideways_on_the_narrowest_screen(browser: Browser, tmp_path: Path) -> None:
    """Not with texts as long and as odd as people can write them, either."""
    with open_hostile_desk(tmp_path) as scene, serve_desk(scene.desk) as url:
        context = browser.new_context(viewport={"width": 320, "height": 700})
        page, found = context.new_page(), []
        page.goto(f"{url}/sign-in?t={scene.desk.authenticator.make_link()}")
        for turn in (4, 15):
            scene.turn_to(turn)
            for way, paths in scene.pages(turn).items():
                if way.endswith(FILES) or way in PARTS:
                    continue
                for path in (path for path in paths if not path.endswith(".csv")):
                    page.goto(url + path, wait_until="domcontentloaded")
                    found += [path] if _overflows(page, 320) else []
        context.close()
    assert found == []


def _go_to_rows(page: Page, busy: BusyDesk, path: str) -> None:
    """Open a page of selected requests, or of a pasted list."""
    if path == "a selection":
        page.goto(f"{busy.url}/queue?q=status:pending")
        page.locator("#rows [data-pick]:enabled").first.check()
        more = page.locator("#bulk").get_by_role("button", name="More for the selection")
        expect(page.locator("#bulk")).to_contain_text("1 selected")
        if more.is_visible():  # on a phone
            more.click()
        page.locator("#bulk").get_by_role("link", name="Show selected").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("1 selected")
    else:
        page.goto(f"{busy.url}/find-list")
        rows = busy.desk.visitor().get("/queue.json").json
        names = [row["user"] for row in rows[:3]]
        page.locator("#list").fill(f"{', '.join(names)}; lena-brandt nobody-at-all ???")
        page.locator("#repo").select_option(str(parse_repo(rows[0]["repo"], rows[0]["repo_type"])))
        page.get_by_role("button", name="Find", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("not found")
        if path == "a list to accept":
            page.locator("#confirm").get_by_role("button").first.click()
            expect(page.locator(".effect")).to_contain_text("access")


def _link_of_mia(busy: BusyDesk) -> str:
    """A link of mia, whom the Hub named, as at an address whose cookies others receive."""
    mia = busy.desk.add_member(Member(name="mia", role=MemberRole.REVIEWER))
    return busy.desk.authenticator.make_link_of(mia, SignInMethod.HUB, 60.0)


def _go_to_link(page: Page, busy: BusyDesk, path: str) -> None:
    """Open a page of members and links."""
    url = busy.url
    if path == "a member":
        if "noor" not in busy.desk.local.tokens:
            busy.desk.local.add_people([{"username": "noor"}])
        page.goto(f"{url}/settings")
        page.get_by_label("Hub account", exact=True).fill("noor")
        page.get_by_role("button", name="Save member").click()
        expect(page.locator(".msg-ok").first).to_be_visible()
    elif path == "a link of another site":
        page.goto(f"{url}/queue".replace("127.0.0.1", "localhost"))
        page.evaluate("url => { location.href = url }", f"{url}/sign-in?t={_link_of_mia(busy)}")
        expect(page.get_by_role("heading", name="Sign in as mia?")).to_be_visible()
    elif path == "a link at another address":
        busy.desk.authenticator.private_origin = "http://desk-0.localhost:1"
        page.set_extra_http_headers({"user-agent": "a browser that asks the system for NAME.localhost"})
        page.goto(f"{url}/sign-in?t={_link_of_mia(busy)}")
        expect(page.get_by_role("heading", name="Choose an address")).to_be_visible()
        busy.desk.authenticator.private_origin = None
        page.set_extra_http_headers({})


def _go(page: Page, busy: BusyDesk, path: str) -> None:
    url = busy.url
    if path == "the sheet":
        page.goto(f"{url}/queue")
        page.locator("#rows > .row").nth(1).locator("[data-do=reject]").click()
        expect(page.locator("#sheet [data-enter]")).to_be_visible()
    elif path in {"a selection", "a list", "a list to accept"}:
        _go_to_rows(page, busy, path)
    elif path == "a change of a table":
        page.goto(f"{url}/tables/people")
        page.get_by_label("Or paste its lines").fill("email,version\nnew@x.example.org,3\n")
        page.get_by_label("Remove the rows that the file does not have").check()
        page.locator("form[enctype]").get_by_role("button", name="Show what it means").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Import")
    elif path in LINKS:
        _go_to_link(page, busy, path)
    elif path == "signed out":
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    else:
        page.goto(url + path)
