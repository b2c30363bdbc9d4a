"""Parses the destinations of notices: the list `notify` of hf-gate.yaml."""

from __future__ import annotations

import re
from datetime import time
from typing import Final

from hf_gate.base.display_text import join_words
from hf_gate.base.network_hosts import is_loopback_host
from hf_gate.base.yaml_parser import Node, Scalar
from hf_gate.core.letters.notices import (
    CHANNEL_KEYS,
    DEFAULT_AFTER,
    DEFAULT_MODES,
    LASTING,
    MAILBOX,
    MAX_AFTER,
    ChannelKind,
    Destination,
    MailServer,
    NoticeEvent,
    NoticeMode,
)
from hf_gate.core.parsing.literals import InvalidLiteralError
from hf_gate.core.parsing.node_reader import KnownKeys, NodeReader

_CHANNEL_KEYS: Final = tuple(dict.fromkeys(key for kind, keys in CHANNEL_KEYS.items() for key in (kind.value, *keys)))
MAX_DESTINATIONS: Final = 20
_MAX_RECIPIENTS: Final = 20
_SYNONYMS: Final = {
    **dict.fromkeys(("url", "hook"), "webhook"),
    "secret": "key",
    **dict.fromkeys(("mail", "email", "server"), "smtp"),
    "sender": "from",
    "recipients": "to",
    "username": "user",
    "chat": "apprise",
    "on": "events",
}
_REFERENCE: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,99}|file:\S.{0,400}")
_SERVER: Final = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?|\[[0-9a-fA-F:.]{2,45}\])(?::(\d{1,5}))?\Z"
)
_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\Z", re.ASCII)
_TURNS: Final = re.compile(r"(\d{1,3})(?: turns?)?\Z", re.ASCII)


def read_destinations(reader: NodeReader, node: Node) -> tuple[Destination, ...]:
    """Read the destinations. Problems are added to the reader."""
    items = reader.read_items(node, "notify", "`notify: [{name: office, webhook: env:HOOK, key: env:HOOK_KEY}]`")
    if len(items) > MAX_DESTINATIONS:
        reader.add_problem(node, "too_many", f"notify has more than {MAX_DESTINATIONS} destinations.")
        return ()
    destinations: dict[str, Destination] = {}
    for item in items:
        destination = _read_destination(reader, item)
        if destination is not None and destination.name in destinations:
            reader.add_problem(item, "same_name", f"Two destinations have the name {destination.name}.")
        elif destination is not None:
            destinations[destination.name] = destination
    return tuple(destinations.values())


def _read_destination(reader: NodeReader, node: Node) -> Destination | None:
    keys = reader.read_keys(
        node, "a destination", ("name", *_CHANNEL_KEYS, "events", "after", "digest", "personal"), synonyms=_SYNONYMS
    )
    if keys is None:
        return None
    if "name" not in keys:
        reader.add_problem(node, "no_name", "A destination needs a name.", hint="Write `name: office`.")
        return None
    name = reader.read_id(keys["name"][1], "The name of a destination")
    kinds = [kind for kind in ChannelKind if kind.value in keys]
    if name is None:
        return None
    if len(kinds) != 1:
        words = f"Destination {name} needs exactly one of {join_words([*ChannelKind], 'and')}."
        reader.add_problem(
            node, "no_channel", words, hint="For example, write `webhook: env:NAME`; see docs/messages.md."
        )
        return None
    kind = kinds[0]
    for other in _CHANNEL_KEYS:
        if other in keys and other not in (kind, *CHANNEL_KEYS[kind]):
            reader.add_problem(keys[other][0], "other_channel", f"`{other}` does not belong to {kind.value}.")
    mail = read_mail_server(reader, keys, node) if kind is ChannelKind.SMTP else None
    if kind is ChannelKind.SMTP and mail is None:
        return None
    if kind is ChannelKind.WEBHOOK and "key" not in keys:
        words = f"Destination {name} has no key: receivers need it to check who sent a message."
        reader.add_problem(node, "no_key", words, hint="Write `key: env:NAME` or `key: file:PATH`.")
    return Destination(
        name=name,
        kind=kind,
        modes=keys.read_part("events", _read_modes, DEFAULT_MODES),
        after=keys.read_part("after", _read_after, DEFAULT_AFTER),
        digest_at=keys.read_value("digest", NodeReader.parse, "bad_time", _parse_time) or time(8),
        has_personal=keys.read_value("personal", NodeReader.read_flag) or False,
        address=None if mail is not None else keys.read_value(kind.value, read_reference),
        key=keys.read_value("key", read_reference),
        mail=mail,
    )


def read_reference(reader: NodeReader, node: Node, name: str) -> str | None:
    """Read `env:NAME` or `file:PATH`. The value itself must not stand in a file that is shared."""
    text = reader.read_text(node, name)
    if text is None or _REFERENCE.fullmatch(text):
        return text
    words = f"{name} is a secret: name the environment variable or the file that holds it."
    reader.add_problem(node, "secret_value", words, hint=f"Write `{name}: env:NAME` or `{name}: file:PATH`.")
    return None


def _read_modes(reader: NodeReader, node: Node) -> dict[NoticeEvent, NoticeMode]:
    modes = dict(DEFAULT_MODES)
    keys = reader.read_keys(node, "events", [event.value for event in NoticeEvent]) or KnownKeys(reader)
    for name, (_, value) in keys.items():
        mode = reader.read_choice(
            value, name, [mode.value for mode in NoticeMode], {"now": "immediate", "never": "off"}
        )
        if mode is not None:
            modes[NoticeEvent(name)] = NoticeMode(mode)
        if modes[NoticeEvent.AUDIT_LOG] is NoticeMode.DIGEST:
            reader.add_problem(value, "no_digest", "audit_log has no digest.", hint="Write `audit_log: immediate`.")
    return modes


def _read_after(reader: NodeReader, node: Node) -> dict[NoticeEvent, int]:
    """Read after how many turns conditions are told: one number for all events that last, or one for each event."""
    if isinstance(node, Scalar):
        turns = reader.parse(node, "after", "bad_turns", _parse_turns)
        return dict.fromkeys(LASTING, turns or 1)
    keys = reader.read_keys(node, "after", [event.value for event in LASTING]) or KnownKeys(reader)
    own = {NoticeEvent(name): reader.parse(value, name, "bad_turns", _parse_turns) for name, (_, value) in keys.items()}
    return {**DEFAULT_AFTER, **{event: turns for event, turns in own.items() if turns is not None}}


def _parse_turns(text: str) -> int:
    match = _TURNS.match(text)
    if match is None or not 0 < int(match[1]) <= MAX_AFTER:
        raise InvalidLiteralError(f"`{text[:40]}` is not a number of turns from 1 to {MAX_AFTER}: write 3 turns.")
    return int(match[1])


def _parse_time(text: str) -> time:
    match = _TIME.match(text)
    if match is None:
        raise InvalidLiteralError(f"`{text[:40]}` is not a time of day: write 08:00.")
    return time(int(match[1]), int(match[2]))


def read_mail_server(
    reader: NodeReader, keys: KnownKeys, node: Node, *, has_recipients: bool = True
) -> MailServer | None:
    """Read a mail server with its sender and login, and its recipients if it has any."""
    needed = ("from", "to") if has_recipients else ("from",)
    if missing := [name for name in needed if name not in keys]:
        reader.add_problem(
            node, "no_address", f"smtp needs `{missing[0]}`.", hint=f"Write `{missing[0]}: gate@example.org`."
        )
        return None
    server = reader.parse(keys["smtp"][1], "smtp", "bad_server", _parse_server)
    sender = reader.parse(keys["from"][1], "from", "bad_address", _parse_address)
    to = _read_recipients(reader, keys["to"][1]) if has_recipients else ()
    user = keys.read_value("user", NodeReader.read_text)
    if ("user" in keys) != ("password" in keys):
        reader.add_problem(node, "half_login", "smtp needs both `user` and `password`, or neither.")
        return None
    if server is None or sender is None or to is None:
        return None
    host, port = server
    password = keys.read_value("password", read_reference)
    return MailServer(host=host, port=port, sender=sender, to=to, user=user, password=password)


def _read_recipients(reader: NodeReader, node: Node) -> tuple[str, ...] | None:
    items = reader.read_items(node, "to", "`to: [office@example.org]`")
    to = [text for item in items if (text := reader.parse(item, "to", "bad_address", _parse_address)) is not None]
    if len(to) > _MAX_RECIPIENTS:
        reader.add_problem(node, "too_many", f"A destination has at most {_MAX_RECIPIENTS} recipients.")
        return None
    return tuple(dict.fromkeys(to)) if to and len(to) == len(items) else None


def _parse_server(text: str) -> tuple[str, int]:
    match = _SERVER.match(text)
    port = int(match[2] or 587) if match else 0
    if match is None or not 0 < port < 65_536:
        raise InvalidLiteralError(f"`{text[:40]}` is not a mail server: write smtp.example.org:587.")
    host = match[1].strip("[]")
    if port == 25 and not is_loopback_host(host):
        raise InvalidLiteralError("port 25 is for mail between servers; use 587 or 465.", f"{match[1]}:587")
    return host, port


def _parse_address(text: str) -> str:
    if not MAILBOX.match(text):
        raise InvalidLiteralError(f"`{text[:60]}` is not an e-mail address.")
    return text
