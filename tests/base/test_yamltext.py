"""YAML is read to nodes with positions; bombs and broken text become problems."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.yaml_parser import Alias, Limits, Mapping, Node, Problem, Scalar, Sequence, parse_yaml


def codes(text: str) -> list[str]:
    return [problem.code for problem in parse_yaml(text).problems]


def plain(node: Node | None) -> object:
    match node:
        case Scalar():
            return node.text
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return [(plain(key), plain(value)) for key, value in node.pairs]
        case Alias():
            return f"*{node.name}"
        case None:
            return None


def test_every_scalar_is_its_source_text() -> None:
    parsed = parse_yaml("yes: [No, 1.0, 0x1F, 2024-01-01, ~, null, 1e400]\n")
    assert plain(parsed.root) == [("yes", ["No", "1.0", "0x1F", "2024-01-01", "~", "null", "1e400"])]
    assert not parsed.problems


def test_quoted_and_plain_are_told_apart() -> None:
    root = parse_yaml("a: true\nb: 'true'\n").root
    assert isinstance(root, Mapping)
    assert [value.is_plain for _, value in root.pairs if isinstance(value, Scalar)] == [True, False]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_positions_count_from_the_line_of_the_file(newline: str) -> None:
    root = parse_yaml(newline.join(["a: b", "c:", "  - d", ""]), first_line=10).root
    assert isinstance(root, Mapping)
    (_, first), (_, second) = root.pairs
    assert (first.line, first.column) == (10, 4)
    assert isinstance(second, Sequence)
    assert (second.items[0].line, second.items[0].column) == (12, 5)


def test_a_line_separator_inside_a_text_does_not_shift_the_lines() -> None:
    root = parse_yaml('a: "x\u2028y\x85z"\nb: c\n').root
    assert isinstance(root, Mapping)
    assert root.pairs[1][0].line == 2


def test_a_short_text_that_is_read_again_is_not_parsed_again_unless_its_place_or_its_limits_differ() -> None:
    text = "a: 1\nb: [2]\n"
    assert parse_yaml(text) is parse_yaml(text)
    assert parse_yaml(text, first_line=9).root == Mapping(9, 1, parse_yaml(text, first_line=9).root.pairs)  # type: ignore[union-attr]
    assert [problem.code for problem in parse_yaml(text, limits=Limits(nodes=1)).problems] != codes(text)
    long = f"a: {'x' * 10_000}\n"
    assert parse_yaml(long) is not parse_yaml(long)
    assert parse_yaml(long) == parse_yaml(long)


def test_duplicate_keys_are_told_and_kept() -> None:
    parsed = parse_yaml("a: 1\nb: 2\na: 3\n")
    assert plain(parsed.root) == [("a", "1"), ("b", "2"), ("a", "3")]
    assert [(p.line, p.column, p.code) for p in parsed.problems] == [(3, 1, "duplicate_key")]
    assert "line 1" in parsed.problems[0].message


def test_anchors_aliases_tags_and_merges_are_told_and_not_followed() -> None:
    parsed = parse_yaml("a: &x {b: c}\nd: *x\ne: !!python/object:os.system f\n<<: *x\n")
    assert [(p.line, p.code) for p in parsed.problems] == [
        (1, "yaml_anchor"),
        (2, "yaml_alias"),
        (3, "yaml_tag"),
        (4, "yaml_merge"),
        (4, "yaml_alias"),
    ]
    assert plain(parsed.root) == [("a", [("b", "c")]), ("d", "*x"), ("e", "f"), ("<<", "*x")]


def test_only_the_first_document_is_read() -> None:
    parsed = parse_yaml("a: b\n---\nc: d\n")
    assert plain(parsed.root) == [("a", "b")]
    assert [(p.line, p.code) for p in parsed.problems] == [(2, "yaml_second_document")]


@pytest.mark.parametrize(
    ("text", "where", "code"),
    [
        ("a:\n\tb: c\n", (2, 1), "yaml_tab"),
        ("a: b\n@x: c\n", (2, 1), "yaml_reserved"),
        ("`x`: c\n", (1, 1), "yaml_reserved"),
        ("a: b: c\n", (1, 5), "yaml_colon"),
        ("k" * 1100 + ": c\n", (1, 1101), "yaml_long_key"),
        ("a: 1\nagree (see #3): text\nb: 2\n", (2, 12), "yaml_comment"),
        ("a: 1\nnothing here\nb: 2\n", (2, 1), "yaml_key"),
        ("a: [b\n", (1, 4), "yaml_flow"),
        ('a: "b\n', (1, 4), "yaml_quote"),
        ("language:\n\n* en\n  library: x\n", (3, 1), "yaml_star"),
        ("a: b\n\x07: c\n", (2, 1), "yaml_character"),
        ("a: \ud800\n", (1, 4), "yaml_character"),
        ('a: "\\UFFFFFFFF"\n', (1, 1), "yaml_broken"),
    ],
)
def test_broken_yaml_gives_no_node_and_one_place(text: str, where: tuple[int, int], code: str) -> None:
    parsed = parse_yaml(text)
    assert parsed.root is None
    last = parsed.problems[-1]
    assert ((last.line, last.column), last.code) == (where, code)


def test_half_a_character_from_an_escape_is_replaced() -> None:
    assert plain(parse_yaml('"\\ud800"').root) == "\ufffd"


@pytest.mark.parametrize(
    ("bomb", "code"),
    [
        ("a: [" + "a," * 100_000 + "]", "yaml_too_many_nodes"),
        ("- a\n" * 40_000, "yaml_too_many_nodes"),
        ("{" + "a,\n" * 60_000 + "}", "yaml_too_many_nodes"),
        ("".join(f"k{i}: v\n" for i in range(15_000)), "yaml_too_many_nodes"),
        ("[" * 200_000, "yaml_too_deep"),
        ("[\n" * 60_000, "yaml_too_deep"),
        ("{a: " * 500, "yaml_too_deep"),
        ("".join(" " * i + "a:\n" for i in range(100)), "yaml_too_deep"),
        ("- " * 5_000, "yaml_too_deep"),
        ("!" * 200_000, "yaml_broken"),
        ("x" * (256 * 1024 + 1), "yaml_too_large"),
        ("é" * (200 * 1024), "yaml_too_large"),
        ("a: &a x\n" + "".join(f"k{i}: *a\n" for i in range(5_000)), "yaml_too_many_problems"),
        ("a: b\n" * 9_000, "yaml_too_many_problems"),
    ],
)
def test_bombs_are_refused_whole(bomb: str, code: str) -> None:
    parsed = parse_yaml(bomb)
    assert parsed.root is None
    assert parsed.problems[-1].code == code
    assert len(parsed.problems) <= 101


def test_billion_laughs_stay_as_small_as_they_are_written() -> None:
    lines = [
        "a: &a [lol, lol]",
        *(f"{b}: &{b} [*{a}, *{a}, *{a}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    ]
    parsed = parse_yaml("\n".join(lines))
    assert isinstance(parsed.root, Mapping)
    assert plain(parsed.root.pairs[-1][1]) == ["*h", "*h", "*h"]


def test_a_long_text_with_many_commas_and_brackets_is_no_bomb() -> None:
    prompt = "  " + "[[[[ , , , {{{{ " * 500 + "\n"
    parsed = parse_yaml("prompt: |\n" + prompt * 20 + "a: b\n")
    assert not parsed.problems
    assert isinstance(parsed.root, Mapping)


def test_limits_hold_to_the_node() -> None:
    limits = Limits(size=1000, depth=3, nodes=6)
    assert parse_yaml("[a, b, c, d, e]", limits=limits).root is not None
    assert parse_yaml("[a, b, c, d, e, f]", limits=limits).root is None
    assert parse_yaml("[[[a]]]", limits=limits).root is not None
    assert parse_yaml("[[[[a]]]]", limits=limits).root is None


_YAMLISH = st.text(alphabet=" \n\t-:?#&*!|>'\"%@`[]{},ab\\~\r\u2028\x85\x00é\ud800", max_size=80)


@given(st.one_of(st.text(), _YAMLISH))
def test_any_text_gives_a_value(text: str) -> None:
    parsed = parse_yaml(text)
    lines = text.count("\n") + text.count("\r") + 1
    for problem in parsed.problems:
        assert isinstance(problem, Problem)
        assert 1 <= problem.line <= lines
        assert problem.column >= 1
        assert problem.message
        assert "\n" not in problem.message


_LEAVES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co"), exclude_characters="\ufeff\u2028\u2029"))


@given(st.recursive(_LEAVES, lambda inner: st.one_of(st.lists(inner), st.lists(st.tuples(_LEAVES, inner), unique_by=lambda pair: pair[0])), max_leaves=20))  # fmt: skip
def test_what_was_written_in_quotes_comes_back(value: object) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def written(node: object) -> str:
        if isinstance(node, str):
            return quoted(node)
        assert isinstance(node, list)
        if node and all(isinstance(item, tuple) for item in node):
            return "{" + ", ".join(f"? {quoted(key)} : {written(item)}" for key, item in node) + "}"
        return "[" + ", ".join(map(written, node)) + "]"

    parsed = parse_yaml(written(value))
    assert not parsed.problems
    assert plain(parsed.root) == value
