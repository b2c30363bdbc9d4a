"""The keys of the settings in the store."""

from __future__ import annotations

from typing import Final

from hf_gate.base.ids import Repo
from hf_gate.base.network_hosts import PRIVATE_HOST_SETTING
from hf_gate.core.people.approvals import PROMOTED_SETTING
from hf_gate.core.people.members import INIT_SETTING, OWNER_SETTING, TEAM_UNTIL_SETTING

RESTORED: Final = "restored"
"""When the store was restored from a backup (ms). Deleted once every repo has been fully synced again."""

INIT_ACCOUNT: Final = INIT_SETTING
"""The id of the account that created the workspace, which owns the desk."""

OWNER: Final = OWNER_SETTING
"""The account whose token the desk used last: name and id, as JSON."""

PRIVATE_HOST: Final = PRIVATE_HOST_SETTING
"""The desk's private host name. It is never exported."""

SIGN_IN_ORGANIZATIONS: Final = "sign-in organizations"
"""The ids of the organisations that give roles in the desk, by name, as JSON."""

PROMOTED_POLICIES: Final = PROMOTED_SETTING
"""The version of each policy that was promoted last, as JSON; see `PromotedPolicy`."""

HOLDS: Final = "holds"
"""What kept changes from being sent in the last turn, as JSON; see `Hold`."""

FOLLOWED_POLICIES: Final = "policies that all ends follow"
"""The digest of the policies under which no end of a grant would move; see `end_adoption.py`."""

STORE_RECOVERED: Final = "store recovered"
"""When receivers were last told that the store can be used again (ms)."""

CLOCK_SKEW: Final = "clock skew"
"""How many seconds the Hub's clock was ahead at the last turn, if that was too much to end grants."""

UNATTENDED_STOP: Final = "unattended work stopped"
"""The stop of all unattended work that the ledger records, as JSON; see `unattended.py`."""

TABLE_ROWS: Final = "table rows"
"""A random text that changes whenever a row of a table in the store does."""

LEDGER_CHECK: Final = "ledger check"
"""How far turns have verified the ledger, and which breaks they found, as JSON; see `ledger_checks.py`."""

RETENTION_AT: Final = "retention at"
"""When old personal data was last looked for and deleted (ms)."""

TEAM_UNTIL: Final = TEAM_UNTIL_SETTING
"""Until when (ms) the rules for several admins apply although the other admins were removed."""


def checked_entries_key(repo: Repo) -> str:
    """Return the key of the last entry in a repo's chain that was checked for acceptances without enough approvals."""
    return f"approvals checked {repo}"


def row_count_key(table: str) -> str:
    """Return the key of a table's row count at the last read."""
    return f"rows {table}"
