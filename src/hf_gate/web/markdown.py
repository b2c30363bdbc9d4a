"""Parses untrusted Markdown into a tree of a few safe kinds of nodes, which a template renders; never into HTML."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from msgspec import Struct, field

MAX_CHARACTERS: Final = 20_000  # characters parsed; the Hub's prompts are far shorter
_MAX_DEPTH: Final = 20  # deeper nodes are shown on this level
_KINDS: Final = {
    "paragraph_open": "p", "heading_open": "heading", "blockquote_open": "blockquote",
    "bullet_list_open": "ul", "ordered_list_open": "ol", "list_item_open": "li",
    "em_open": "em", "strong_open": "strong", "s_open": "s", "link_open": "link",
}  # fmt: skip
_LEAVES: Final = {"code_inline": "code", "code_block": "pre", "fence": "pre", "hardbreak": "br", "hr": "hr"}
_PARSER: Final = MarkdownIt("commonmark", {"html": False}).enable(
    "strikethrough"
)  # no tables: a few characters can make very many cells


class Node(Struct):
    """One element. `kind` is one of a fixed set; `href` is an http(s) address, or empty if a link is not allowed."""

    kind: str
    text: str = ""
    href: str = ""
    children: list[Node] = field(default_factory=list)


@lru_cache(64)
def parse_markdown(text: str) -> list[Node]:
    """Return the nodes of a Markdown text. Raw HTML becomes text, an image its description and address."""
    root = Node("root")
    _add([root], _PARSER.parse(text[:MAX_CHARACTERS]))
    if len(text) > MAX_CHARACTERS:
        root.children.append(Node("p", children=[Node("text", f"({len(text) - MAX_CHARACTERS:,} more characters)")]))
    return root.children


def _add(path: list[Node], tokens: Sequence[Token]) -> None:
    """Add tokens below the last node of a path."""
    for token in tokens:
        if token.nesting > 0:
            path.append(_open_node(path, token))
        elif token.nesting < 0:
            closed = path.pop()
            if closed.kind == "link" and closed is not path[-1]:
                _show_address(path[-1], closed)
        elif token.type == "inline":
            _add(path, token.children or ())
        else:
            _add_leaf(path[-1].children, _leaf(token))


def _open_node(path: list[Node], token: Token) -> Node:
    """Return the node for the following tokens: a new one, or the current one if too deep or in a tight list."""
    kind = _KINDS.get(token.type)
    if kind is None or token.hidden or len(path) > _MAX_DEPTH:
        return path[-1]
    node = Node(kind, href=_address(token) if kind == "link" else "")
    if kind == "link":
        node.text = str(token.attrGet("href") or "")
    path[-1].children.append(node)
    return node


def _add_leaf(children: list[Node], leaf: Node) -> None:
    """Add a leaf; consecutive texts become one node."""
    if leaf.kind == "text" and children and children[-1].kind == "text":
        children[-1].text += leaf.text
    else:
        children.append(leaf)


def _leaf(token: Token) -> Node:
    if token.type == "softbreak":
        return Node("text", " ")
    if token.type == "image":
        return Node("text", f"[picture: {token.content}, {token.attrGet('src')}]")
    return Node(_LEAVES.get(token.type, "text"), token.content)


def _address(token: Token) -> str:
    """Return the address of a link if it is http(s) with a host and without a user name, which could imitate a host."""
    href = str(token.attrGet("href") or "")
    try:
        url = urlsplit(href)
    except ValueError:
        return ""
    return href if url.scheme in {"http", "https"} and url.hostname and "@" not in url.netloc else ""


def _show_address(parent: Node, link: Node) -> None:
    """Show the address after a link whose text differs from it."""
    words = "".join(child.text for child in link.children if child.kind == "text")
    if words.strip() != link.text:
        parent.children.append(Node("address", link.text))
