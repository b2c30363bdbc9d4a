"""Recognises text that is addressed to a program or a language model.

Such text is pointed out to reviewers and changes no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from .answer_text import fold_answer, strip_invisible

_PATTERNS: Final = (
    # marks of chat formats
    r"\[/?inst\]|<</?sys>>|<\|?(im_start|im_end|endoftext|eot_id|start_header_id)\|?>|<\|(system|user|assistant)\|>",
    (
        r"</?(system|assistant)([ _-](prompt|message|instructions?))?>|(^|\n)\s{0,8}(###\s{0,8})?(system|assistant"
        r"|developer)( prompt| message)?\s*:"
    ),
    # orders to ignore earlier instructions
    (
        r"\b(ignore|disregard|forget|override|bypass)\b.{0,20}\b(previous|prior|above|earlier|preceding|existing"
        r"|your|system)\b"
        r".{0,20}\b(instructions?|prompts?|rules|guidelines|policies|guardrails|orders)\b"
    ),
    # text addressed to a program that reads answers
    r"\byou are (now )?(an? |the )?(\w+ ){0,2}(ai|llm|chatbot|language model|assistant|bot)\b",
    r"\byou are now (in|operating in|running in) \w+ mode\b",
    r"\b(if|as|since) you('re| are)? (an? )?(ai|llm|language model|bot|automated|agent)\b",
    (
        r"\b(attention|note|message|instructions?) (to|for) (the |any |all )?(ai|llms?|bots?|language models?"
        r"|automated (reviewers?|systems?))\b"
    ),
    # orders to decide
    (
        r"\b(accept|approve|grant|admit) (every|all|each|any)( the)?( pending| open| waiting| other"
        r"| remaining)* (requests?|applications?|applicants?)\b"
    ),
    (
        r"\b(set|mark|change) (my|this|the) (request|application|status|verdict)( status)? (to|as) (accepted|approved"
        r"|accept|good)\b"
    ),
    r"\byou must (accept|approve|grant) (this|my|the) (request|application)\b",
)
_ADDRESSES: Final = re.compile("|".join(_PATTERNS))
_MAX_READ: Final = 4000  # only this many characters of an answer are checked


@lru_cache(maxsize=1024)  # a page is rendered more often than its texts change
def addresses_software(text: str) -> bool:
    """Tell whether a text contains instructions or marks meant for a program.

    Only a fixed list of patterns is checked.
    """
    return _ADDRESSES.search(fold_answer(strip_invisible(text[: 4 * _MAX_READ])[:_MAX_READ])) is not None


def any_addresses_software(texts: Iterable[str]) -> bool:
    """Tell whether one of these texts does."""
    return any(addresses_software(text) for text in texts)
