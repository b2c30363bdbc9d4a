"""Writes src/hf_gate/localhub/population/people.json: the sample of people, answers and gates from which local Hubs are made.

Usage: python -m tools.people.make_sample

The same sources give the same bytes: pools.json (names, places and texts, see make_pools.py), the tables of make_people.py,
gate_texts.py and hostile_texts.py, and those below. `hf_gate.localhub.population.sample` describes the format.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from tools.people.gate_texts import GATES
from tools.people.hostile_texts import BY_KIND
from tools.people.make_gates import build_gates
from tools.people.make_people import SHARES, PeopleSampler, draw_free_address

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "src" / "hf_gate" / "localhub" / "population" / "people.json"
SEED = 20261130
GATES_EACH = 12
SHEETS_EACH = 200
TIMELINES_EACH = 6
SHEET_LENGTH = 12

Answer = list[Any]  # weight, quality, template (None: the answer is left out), what is special about it
Answers = dict[str, list[Answer]]  # by the letter of a sheet

# The quality of text answers by how careful a person is: upper bounds for good, thin, empty, missing, junk and shared text;
# the rest is in another language. The letters stand in sheets. Shared and foreign texts are purposes; elsewhere they are good.
LETTERS = "gtemjso"
CARE = {
    "careful": (0.86, 0.91, 0.925, 0.945, 0.955, 0.985),
    "lazy": (0.22, 0.67, 0.77, 0.82, 0.92, 0.99),
    "careless": (0.10, 0.27, 0.45, 0.48, 0.98, 1.0),
}
# Upper bounds for careful and lazy people out of 100 requests with a status; the rest are careless.
MOODS = {"pending": (60, 88), "accepted": (82, 97), "rejected": (20, 55), "reset": (15, 75)}
# Activity at each hour of the local day, and the share of people at each offset from UTC.
AWAKE = (2, 1, 1, 1, 1, 2, 3, 5, 8, 11, 12, 12, 10, 10, 12, 12, 12, 11, 9, 8, 8, 8, 6, 4)
OFFSETS = ((-6, 35), (1, 25), (7, 40))
WEEKEND = 0.6
# The options that fit each kind of person; a form has one of them.
FITTING = {
    "student": ["Academia", "academic", "Student"],
    "academic": ["Academia", "academic", "AI researcher"],
    "clinician": ["hospital", "public"],
    "industry": ["Industry", "company", "AI developer/engineer"],
}
EMPTY: list[Answer] = [[85, "empty", "", ""], [15, "empty", " ", ""]]
MISSING: list[Answer] = [[1, "missing", None, ""]]
JUNK_WORDS: list[Answer] = [[66, "junk", "{junk}", ""], [22, "junk", "{own_junk}", ""]]
JUNK: list[Answer] = [
    *JUNK_WORDS,
    [3, "junk", "{label:.60}", ""],
    [3, "junk", "~{label:.60}", ""],
    [6, "junk", "{shown}", ""],
]


def build_sample() -> dict[str, Any]:
    """Return the whole sample."""
    pools = json.loads((HERE / "pools.json").read_text("utf-8"))
    rng = Random(SEED)
    sampler = PeopleSampler(pools, rng)
    answers = build_answers(pools["texts"], rng)
    words = build_words(pools, rng)
    gates = {preset: msgspec.to_builtins(build_gates(preset, GATES_EACH)) for preset in GATES}
    fields = [field for many in gates.values() for gate in many for field in (*gate["fields"], *gate["former_fields"])]
    for number, field in enumerate(fields):
        link_field(field, number, answers, words)
    return {
        "countries": [_build_country(country) for country in pools["countries"]],
        "places": [_build_place(place) for place in pools["places"]],
        "shares": SHARES,
        "people": {preset: sampler.draw_people(preset) for preset in SHARES},
        "bots": sampler.draw_bots(),
        "answers": answers,
        "words": words,
        "topics": {topic: build_topic(topic, pools["texts"], rng) for topic in pools["texts"]["tasks"]},
        "sheets": {status: _draw_sheets(rng, status) for status in MOODS},
        "rhythm": build_rhythm(),
        "timelines": build_timelines(rng),
        "gates": gates,
        "hostile": BY_KIND,
    }


def _build_country(country: list[Any]) -> dict[str, str]:
    code, english, local, *_, language = country
    return {"code": code, "english": english, "country": local, "speaks": language}


def _build_place(place: list[Any]) -> list[Any]:
    kind, _, name, short, staff, students, local, misspelt = place
    facts = {"place": name, "short": short, "misspelt": misspelt} | ({"local": local} if local else {})
    return [f"{kind} abroad" if local else kind, staff, students, facts]


def _draw_sheets(rng: Random, status: str) -> list[str]:
    """Draw how good the answers of forms are: a person answers most questions with the same care. The shares are exact."""
    careful, lazy = MOODS[status]
    shares = {"careful": careful, "lazy": lazy - careful, "careless": 100 - lazy}
    sheets = []
    for mood, share in shares.items():
        count = share * SHEETS_EACH // 100
        letters = [LETTERS[sum((i + 0.5) / count >= edge for edge in CARE[mood])] for i in range(count)]
        columns = [rng.sample(letters, count) for _ in range(SHEET_LENGTH)]
        sheets += ["".join(row) for row in zip(*columns, strict=True)]
    return sheets


def build_rhythm() -> list[int]:
    """Return the weight of each hour of a week that begins on a Thursday, as the week of 1970 did."""
    day = [sum(share * AWAKE[(hour + offset) % 24] for offset, share in OFFSETS) for hour in range(24)]
    return [round(day[hour % 24] * (WEEKEND if hour // 24 in {2, 3} else 1)) for hour in range(168)]


def build_timelines(rng: Random) -> dict[str, list[list[int]]]:
    """Return the weight of each day since a repo was opened: high at launches, low later."""
    lives = []
    for _ in range(TIMELINES_EACH):
        days = int((0.25 + rng.random() * 0.7) * 600)
        later = [(int(days * (0.3 + 0.6 * rng.random())), 8.0 + rng.random() * 10, 1.5) for _ in range(days // 150)]
        lives.append(_weigh_days(days, 10, [(0, 30.0, 1.5), *later]))
    courses = [_weigh_days(9 + i, 15, [(2 + i % 3, 100.0, 0.7)]) for i in range(TIMELINES_EACH)]
    return {"consumer": lives, "medical": lives, "class": courses, "quiet": [[1] * 840]}


def _weigh_days(days: int, base: int, launches: list[tuple[int, float, float]]) -> list[int]:
    """`launches` have a day, the height of the peak, and the days until the rate has fallen to a third of it."""
    weights = [float(base)] * (days + 1)
    for begin, height, fall in launches:
        for day in range(begin, days + 1):
            weights[day] += 10 * height * (math.exp((begin - day) / fall) + 0.12 / (day - begin + 1))
    return [round(weight) for weight in weights]


# --- answers -------------------------------------------------------------------------------------------------


def build_answers(texts: dict[str, Any], rng: Random) -> dict[str, Answers]:
    """Return the answers to each question, by quality. A type of field stands for the questions that have none here."""
    answers = {
        question: _rate(good, texts["thin"].get(question)) for question, good in build_good_answers(texts).items()
    }
    for question, good in build_good_affiliations(texts).items():
        answers[question] = _rate(good, ["{vague}"])
    answers["purpose"] |= {
        "s": [[1, "thin", text, "template"] for text in texts["shared"]["texts"]],
        "o": [[1, "good", "{own}", "own language"]],
    }
    answers["name"] |= {"t": [[75, "good", "{given}", "given name only"], *_initials()], "j": JUNK[:-1]}
    answers["first_name"] |= {"t": [[1, "good", "{given}", ""]], "j": JUNK[:-1]}
    answers["last_name"] |= {"t": _initials(), "j": JUNK[:-1]}
    return answers | {question: {"g": choices} for question, choices in build_choices(rng).items()}


def link_field(field: list[Any], number: int, answers: dict[str, Answers], words: dict[str, list[str]]) -> None:
    """Let `question` of a field be a key of `answers`, with answers of its own if it has options."""
    _, kind, question, _, *options = field
    if question in answers or question == "affiliation":
        return
    field[2] = kind
    if options and options[0]:
        field[2] = slot = f"option{number}"
        labels = [label for label, _ in options[0]]
        values = [value for _, value in options[0]]
        answers[slot] = {
            "g": [
                [920, "", f"{{{slot}}}", ""],
                [65, "", f"{{{slot}_label}}", "label"],
                [7, "", "I prefer not to say", "option of an older form"],
                [8, "", None, "missing"],
            ]
        }
        words[slot] = [value for i, value in enumerate(values) for _ in range(len(values) - i)]
        words[f"{slot}_label"] = labels
        for person, fitting in FITTING.items():
            fit = [value for value in values if value in fitting]
            if fit:
                words[f"{slot}.{person}"] = [fit[0]] * 7 * len(values) + values


def _rate(good: list[Answer], thin: list[str] | None) -> Answers:
    words = thin or ["yes", "later", "see profile", "same", "ok", "will send"]
    return {"g": good, "t": [[1, "thin", word, ""] for word in words], "e": EMPTY, "m": MISSING, "j": JUNK}


def _initials() -> list[Answer]:
    return [[12, "thin", "{family:.1}.", ""], [12, "thin", "{family:.1}", ""]]


def _list_good(*templates: str) -> list[Answer]:
    return [[1, "good", template, ""] for template in templates]


def build_good_answers(texts: dict[str, Any]) -> dict[str, list[Answer]]:
    waivers = (
        "not needed, public data only", "exempt", "not required for retrospective data", "will be submitted in spring",
    )  # fmt: skip
    approvals = [f"{board} {{year:{ago}}}-{{n}}" for board in ("IRB", "EK", "REC", "CEP") for ago in (0, 1)]
    return {
        "purpose": [
            [114, "good", "{task}{context}", ""],
            [57, "good", "{Task}", ""],
            [114, "good", "~{opener}{task}{context}", ""],
            [190, "good", "{opener}{task}{context}.{extra}", ""],
            [333, "good", "{opener}{task}{context}.", ""],
            [104, "good", "{opener}{task}{context}", ""],
            [38, "good", "{opener}{mistyped}{context}", "typo"],
            *([12, "good", skeleton, "language model"] for skeleton in texts["llm"]["skeletons"]),
        ],
        "name": [[25, "good", "{shown}", ""], [67, "good", "{name}", ""], [8, "good", "~{name}", ""]],
        "first_name": _list_good("{given}"),
        "last_name": _list_good("{family}"),
        "job": _list_good("{job}"),
        "advisor": _list_good("Prof. {advisor}", "Dr. {advisor}", "Prof. Dr. {advisor}", "{advisor}"),
        "url": _list_good(
            "~https://{username}.example.org",
            "https://example.com/people/{username}",
            "https://example.net/~{username}",
        ),
        "account": _list_good("@{username}"),
        "team": _list_good("Team {team}", "Group {n:.1}"),
        "ethics": [*_list_good(*waivers), *_list_good(*approvals)],
        "course": _list_good(*(f"NLP {{year:{ago}}}, group {group}" for ago in (0, 1) for group in range(1, 9))),
        "student_number": _list_good("21{n:0>5}", "23{n:0>5}", "25{n:0>5}"),
        "phone": _list_good("+00 555 01{n:.2}"),
        "country_name": [
            [60, "good", "{english}", ""],
            [25, "good", "{country}", "own words"],
            [8, "good", "~{english}", ""],
            [7, "good", "{code}", ""],
        ],
    }


def build_good_affiliations(texts: dict[str, Any]) -> dict[str, list[Answer]]:
    """Return how people write where they work, by the kind of place; `abroad` has a name in another language."""
    answers: dict[str, list[Answer]] = {
        "affiliation none": [[1, "good", word, "independent"] for word in texts["independent"]]
    }
    for kind in ("university", "university abroad", "hospital", "hospital abroad", "company"):
        translated = [[5, "good", "{local}", "translated"]] if kind.endswith("abroad") else [[5, "good", "{place}", ""]]
        department = "{place}" if kind == "company" else "{clinic}" if kind.startswith("hospital") else "{department}"
        answers[f"affiliation {kind}"] = [
            [12, "good", "{short}", "abbreviation"],
            [6, "good", "{misspelt}", "misspelt"],
            *translated,
            [15, "good", "{place}" if kind == "company" else f"{department}, {{place}}", ""],
            [10, "good", "{place}" if kind == "company" else f"{{place}}, {department}", ""],
            [47, "good", "{place}", ""],
            [5, "good", "~{place}", ""],
        ]
    return answers


def build_choices(rng: Random) -> dict[str, list[Answer]]:
    """Return the answers to questions whose answers are not rated, and those to `email`, which are never careless."""
    return {
        "email": [
            [70, "good", "{email}", ""],
            [15, "good", "{other_mail}", "another address"],
            [1, "good", "{mailbox}+hf@{domain}", "another spelling"],
            [1, "good", "{mailbox}+ml@{domain}", "another spelling"],
            [1, "good", "^{email}", "another spelling"],
            [1, "good", "office{n:.2}@example.org", "somebody else's"],
            [6, "junk", "{junk}", ""],
            [2, "junk", "{own_junk}", ""],
            [3, "empty", "", ""],
        ],
        "checkbox": [
            [186, "", "on", ""],
            [6, "", "true", ""],
            [6, "", None, "not ticked"],
            [1, "", "", "not ticked"],
            [1, "", "false", "not ticked"],
        ],
        "optin": [[35, "", "on", ""], [65, "", None, ""]],
        "country": [
            [930, "", "{code}", ""],
            [30, "", "{english}", "name"],
            [10, "", "~{english}", "name"],
            [15, "", "{country}", "own words"],
            [15, "", None, "missing"],
        ],
        "ip_location": [
            [95, "", "{code}, {region}", ""],
            [2, "", "NL, North Holland", "elsewhere"],
            [1, "", "DE, Hesse", "elsewhere"],
            [1, "", "US, Virginia", "elsewhere"],
            [1, "", "SG, Singapore", "elsewhere"],
        ],
        "birth_date": [
            *([97, "", f"{{year:{19 + int(rng.random() ** 2 * 45)}}}-{_draw_day(rng)}", ""] for _ in range(80)),
            *([10, "", f"{{year:{rng.randrange(12, 17)}}}-{_draw_day(rng)}", "under 18"] for _ in range(8)),
            *([20, "", date, "odd date"] for date in ("2001-02-29", "1900-01-01", "{year:-2}-01-01")),
            *([30, "", f"{rng.randrange(10, 29)}/{rng.randrange(10, 13)}/{{year:{ago}}}", "odd date"] for ago in (23, 31)),
        ],
        "end_date": [[1, "", f"{{year:-{rng.randrange(1, 3)}}}-{rng.randrange(1, 13):02d}-{day}", ""] for day in ("28", "01", "15") * 8],
    }  # fmt: skip


def _draw_day(rng: Random) -> str:
    return f"{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"


# --- words ---------------------------------------------------------------------------------------------------


def build_words(pools: dict[str, Any], rng: Random) -> dict[str, list[str]]:
    """Return the words of each slot; those of `slot.language` and `slot.kind` are for people of that language or kind."""
    texts = pools["texts"]
    words: dict[str, list[str]] = {
        "opener": texts["openers"],
        "context": texts["contexts"],
        "extra": texts["extras"],
        "department": texts["departments"],
        "clinic": texts["clinical_departments"],
        "language": texts["names_of_languages"]["spoken"],
        "own": ["{opener}{task}{context}."],
        "junk": texts["junk"]["any"],
        "own_junk": texts["junk"]["any"],
        "job": texts["jobs"]["hobbyist"],
        "team": [word.title() for word in texts["handles"]["second"]],
        "vague": texts["thin"]["affiliation"],
        "vague.industry": texts["thin"]["affiliation_work"],
        "vague.clinician": texts["thin"]["affiliation_clinic"],
        "vague.hobbyist": texts["thin"]["affiliation_none"],
        "email": ["{other_mail}"],
        "mailbox": ["{a}{b}{n}"],
        "domain": ["example.org"],
        "course": ["We need it in our course at {short} to {task}."],
    }
    words |= {f"own.{language}": own for language, own in texts["languages"].items()}
    words |= {f"own_junk.{language}": junk for language, junk in texts["junk"].items() if language != "any"}
    words |= {f"job.{kind}": jobs for kind, jobs in texts["jobs"].items()}
    for code, _, _, _, cultures, _, language in pools["countries"]:
        families = pools["cultures"][cultures[0][0]]["family"][1]
        for slot, drawn in (
            ("advisor", rng.sample(families, 6)),
            ("other_mail", [draw_free_address(rng, code) for _ in range(4)]),
        ):
            words[f"{slot}.{language}"] = [*words.get(f"{slot}.{language}", ()), *drawn]
    words["advisor"] = words["advisor.en"]
    words["other_mail"] = words["other_mail.en"]
    return words


def build_topic(topic: str, texts: dict[str, Any], rng: Random) -> dict[str, list[str]]:
    """Return the words that differ for the repos of a topic."""
    tasks = texts["tasks"][topic]
    words = {
        "task": tasks,
        "Task": [task[0].upper() + task[1:] for task in tasks],
        "mistyped": [_mistype(task, rng) for task in tasks for _ in range(3)],
    }
    if topic.endswith("_course"):
        words |= {"context": texts["course_contexts"], "extra": texts["course_extras"]}
    if topic in {"eeg", "pathology", "radiology"}:
        words["department"] = texts["clinical_departments"]
    return words


def _mistype(task: str, rng: Random) -> str:
    """Leave out one letter that is in no slot."""
    places = [i for i, c in enumerate(task) if c.isalpha() and "{" not in task[: i + 1]]
    at = rng.choice(places[3:])
    return task[:at] + task[at + 1 :]


def encode_sample(sample: dict[str, Any]) -> str:
    """Return the file: JSON with one line for each person, place, question and gate."""
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_encode_part(part)}" for key, part in sample.items()) + "\n}\n"


def _encode_part(part: object, depth: int = 0) -> str:
    if not isinstance(part, dict | list) or depth > 2:
        return json.dumps(part, ensure_ascii=False, separators=(",", ":"))
    if isinstance(part, dict):
        inner = [f"{json.dumps(key)}: {_encode_part(value, depth + 1)}" for key, value in part.items()]
        return "{\n" + ",\n".join(inner) + "\n}"
    if part and isinstance(part[0], dict | list):
        return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in part) + "\n]"
    return json.dumps(part, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    TARGET.write_text(encode_sample(build_sample()), "utf-8")
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")
