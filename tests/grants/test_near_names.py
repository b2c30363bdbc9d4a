"""Names that are almost those of a row."""

from __future__ import annotations

from hf_gate.grants.near_names import find_near_names, fold_name


def test_many_rows_and_people_with_one_name_cost_no_more_than_the_first() -> None:
    wanted = {row: ["Ada Lovelace"] for row in range(1_000)}
    people = [(f"ada-{number}", ["Ada Lovelace" * 5]) for number in range(2)]
    people += [(f"lovelace-{number}", ["ADA LOVELACE"]) for number in range(20_000)]
    assert find_near_names(wanted, people) == dict.fromkeys(range(1_000), "lovelace-0")


def test_a_sign_that_stands_for_many_letters_makes_no_long_name() -> None:
    assert len(fold_name("\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 1_000)) == 60
