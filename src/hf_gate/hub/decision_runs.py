"""The outcomes of `decide_many`, for both clients. Decisions that nobody iterates cause a ResourceWarning."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Generator, Iterator
from typing import Any

from hf_gate.base.ids import Repo
from hf_gate.core.outcomes import Outcome
from hf_gate.hub.protocol.flows.bulk import validate_decision


class DecisionRunState:
    """Which repo the decisions are for, and whether their outcomes were requested or closed."""

    is_used = True  # of an object whose constructor failed

    def __init__(self, repo: Repo, decisions: object) -> None:
        if isinstance(decisions, Collection):  # can be read twice, unlike an iterator
            for item in decisions:
                validate_decision(item, repo)
        self.repo = repo
        self.is_used = False

    def __del__(self) -> None:
        if not self.is_used:
            text = f"decide_many for {self.repo} was not iterated, so nothing was sent"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.repo}>"


class DecisionRun(DecisionRunState, Iterator[Outcome]):
    """An iterator over outcomes. Nothing is sent before the first outcome is requested."""

    def __init__(self, repo: Repo, decisions: object, outcomes: Generator[Outcome, None, Any]) -> None:
        super().__init__(repo, decisions)
        self._outcomes = outcomes

    def __next__(self) -> Outcome:
        self.is_used = True
        return next(self._outcomes)

    def close(self) -> None:
        """Send no further decisions."""
        self.is_used = True
        self._outcomes.close()


class AsyncDecisionRun(DecisionRunState, AsyncIterator[Outcome]):
    """An async iterator over outcomes; see `DecisionRun`."""

    def __init__(self, repo: Repo, decisions: object, outcomes: AsyncGenerator[Outcome, None]) -> None:
        super().__init__(repo, decisions)
        self._outcomes = outcomes

    async def __anext__(self) -> Outcome:
        self.is_used = True
        return await anext(self._outcomes)

    async def aclose(self) -> None:
        """Send no further decisions."""
        self.is_used = True
        await self._outcomes.aclose()
