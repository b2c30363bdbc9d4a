"""members and keys: Hub accounts that may work in the desk, and keys of other systems."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hf_gate.base.timestamps import ms_to_iso
from hf_gate.command_line.framework import CommandEntry, LazyGroup, command
from hf_gate.command_line.workspace_opening import find_actor, open_workspace
from hf_gate.core.people.members import MemberRole
from hf_gate.core.people.standing import SINGLE_ADMIN
from hf_gate.errors import NotAllowed, UsageError
from hf_gate.members.records import KeyRecord, KeysRecord, MemberRecord, MembersRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hf_gate.command_line.framework import CommandContext
    from hf_gate.members.service.members import Membership
    from hf_gate.settings.service.workspace import Workspace

members = LazyGroup(
    "members",
    {
        "ls": CommandEntry("hf_gate.command_line.people.members:members_ls", "List the members."),
        "add": CommandEntry(
            "hf_gate.command_line.people.members:members_add", "Make a Hub account a member.", has_effect=True
        ),
        "confirm": CommandEntry(
            "hf_gate.command_line.people.members:members_confirm",
            "Confirm that a new member is another person.",
            has_effect=True,
        ),
        "remove": CommandEntry(
            "hf_gate.command_line.people.members:members_remove", "Remove a member.", has_effect=True
        ),
    },
    help="Members of the desk: Hub accounts with a role.",
)
keys = LazyGroup(
    "keys",
    {
        "ls": CommandEntry("hf_gate.command_line.people.members:keys_ls", "List the keys."),
        "add": CommandEntry("hf_gate.command_line.people.members:keys_add", "Make a key.", has_effect=True),
        "remove": CommandEntry("hf_gate.command_line.people.members:keys_remove", "End a key.", has_effect=True),
    },
    help="Keys with which other systems use the API of the desk.",
)


def _open_membership(context: CommandContext) -> Membership:
    """Return the members of the workspace, to be changed. The first account that does so is the owner.

    Raises NotAllowed unless this account is the owner or an admin of all repos.
    """
    from hf_gate.members.service.members import Membership, can_administer, read_owner

    workspace = open_workspace(context, writes=True, lends=True)
    account = context.connection.read_account()
    owner = read_owner(workspace.store)
    if account is None or can_administer(workspace.store, account) is False:
        who = "No Hub account is signed in here" if account is None else f"{account.name} is no admin of this desk"
        raise NotAllowed(
            f"{who}; nothing was changed.", hint="Use the token of the owner, or of an admin of all repos."
        )
    if owner is not None:
        return Membership(workspace, owner.name, owner.user_id)
    membership = Membership(workspace, account.name, account.id)
    membership.admit_owner()
    return membership


# ---- members ---------------------------------------------------------------------------------------------------------


@command("ls", examples=("hf-gate members ls", "hf-gate members ls --json"))
def members_ls(context: CommandContext) -> int:
    """List the members, with their Hub accounts, roles and repos."""
    _print_members(context, _describe_members(open_workspace(context)))
    return 0


@command(
    "add",
    examples=(
        "hf-gate members add mia --role reviewer",
        "hf-gate members add mia --role viewer --repo 'datasets/acme/eeg-*'",
    ),
)
@click.argument("name", metavar="NAME")
@click.option(
    "--role",
    type=click.Choice(["viewer", "reviewer", "admin"]),
    default="reviewer",
    show_default=True,
    help="What the member may do.",
)
@click.option("--repo", "--repos", "repos", multiple=True, metavar="GLOB", help="Only these repos.")
def members_add(context: CommandContext, *, name: str, role: str, repos: tuple[str, ...]) -> int:
    """Make the Hub account NAME a member of the desk, or give a member another role or other repos.

    Members sign in to the desk with their Hub account. In a terminal, the account of the token counts.
    """
    membership = _open_membership(context)
    account = context.connection.read_account()
    member = membership.add(
        name,
        MemberRole(role),
        repos,
        by=find_actor(context),
        by_account=membership.owner_id if account is None else account.id,
    )
    _print_members(context, _describe_members(membership.workspace, added=member.name))
    return 0


@command("confirm", examples=("hf-gate members confirm mia", "hf-gate members confirm mia --json"))
@click.argument("name", metavar="NAME")
def members_confirm(context: CommandContext, *, name: str) -> int:
    """Confirm that a new member is a person of their own, not a second account of whoever added them.

    Without this, they count as two people after 7 days only. The admin who added the member cannot do it.
    """
    from hf_gate.members.service.members import find_member_of

    membership = _open_membership(context)
    member = membership.find_named_member(name)
    confirmer = find_member_of(membership.workspace.store, context.connection.read_account())
    membership.confirm(member, confirmer or membership.owner_member)
    _print_members(context, _describe_members(membership.workspace, confirmed=member.name))
    return 0


@command("remove", examples=("hf-gate members remove mia", "hf-gate members remove mia --json"))
@click.argument("name", metavar="NAME")
def members_remove(context: CommandContext, *, name: str) -> int:
    """Remove a member: their sessions end, their runs stop, and their unsent decisions are undone."""
    membership = _open_membership(context)
    member = membership.find_named_member(name)
    membership.remove(member, find_actor(context))
    _print_members(context, _describe_members(membership.workspace, removed=member.name))
    return 0


def _describe_members(
    workspace: Workspace, *, added: str | None = None, confirmed: str | None = None, removed: str | None = None
) -> MembersRecord:
    from hf_gate.members.service.members import has_single_admin, read_owner, read_standing

    owner = read_owner(workspace.store)
    standing = read_standing(workspace.store, workspace.now())
    return MembersRecord(
        owner=None if owner is None else owner.name,
        members=[
            MemberRecord(
                name=member.name,
                account=member.account or member.name,
                account_id=member.user_id or "",
                role=member.role,
                repos=list(member.repos or ()),
                since=ms_to_iso(member.made_at),
                membership=standing.describe(member.account_id) or None,
            )
            for member in workspace.store.members()
            if member.is_active
        ],
        has_single_admin=has_single_admin(workspace.store),
        added=added,
        confirmed=confirmed,
        removed=removed,
    )


def _print_members(context: CommandContext, record: MembersRecord) -> None:
    one = record.added or record.confirmed
    names = [one] if one else [] if record.removed else [each.name for each in record.members]
    context.out.document(record, lambda: _member_lines(record), quiet=names)


def _member_lines(record: MembersRecord) -> Iterator[str]:
    if record.removed:
        yield f"{record.removed} is removed, and all sessions of this member have ended."
    if record.confirmed:
        yield f"{record.confirmed} is confirmed and counts as a person of their own."
    unknown = "The owner is not stored yet: the account that ran hf-gate init becomes it when it opens the desk."
    yield f"{record.owner}  owner" if record.owner else unknown
    for member in record.members:
        where = ", ".join(member.repos) or "all repos"
        new = f"  {member.membership}" if member.membership else ""
        yield f"{member.name}  {member.role}  {where}  Hub account {member.account}{new}"
    if not record.members:
        yield "No members; only the owner can sign in."
    if record.has_single_admin:
        yield SINGLE_ADMIN


# ---- keys ------------------------------------------------------------------------------------------------------------


@command("ls", examples=("hf-gate keys ls", "hf-gate keys ls --json"))
def keys_ls(context: CommandContext) -> int:
    """List the keys."""
    _print_keys(context, open_workspace(context), {})
    return 0


@command(
    "add",
    examples=(
        "hf-gate keys add billing --repo 'datasets/acme/*' --verbs accept,reset",
        "hf-gate keys add crm --verbs events",
    ),
)
@click.argument("name", metavar="NAME")
@click.option("--repo", "--repos", "repos", multiple=True, metavar="GLOB", help="The repos at which the key works.")
@click.option("--verbs", metavar="LIST", default="", help="What the key may do, such as accept,reset,events.")
def keys_add(context: CommandContext, *, name: str, repos: tuple[str, ...], verbs: str) -> int:
    """Make a key for another system. The secret is shown once."""
    from hf_gate.members.service.keys import add_key

    membership = _open_membership(context)
    wanted = [verb.strip() for verb in verbs.split(",") if verb.strip()]
    workspace = membership.workspace
    secret = add_key(workspace, name, wanted, repos, find_actor(context))
    _print_keys(context, workspace, {"secret": secret})
    return 0


@command("remove", examples=("hf-gate keys remove billing", "hf-gate keys remove billing --json"))
@click.argument("name", metavar="NAME")
def keys_remove(context: CommandContext, *, name: str) -> int:
    """End a key, and undo its unsent decisions."""
    membership = _open_membership(context)
    if not membership.revoke_key(name, find_actor(context)):
        raise UsageError(f"there is no key {name!r}.", hint="hf-gate keys ls lists them.")
    _print_keys(context, membership.workspace, {"removed": name})
    return 0


def _print_keys(context: CommandContext, workspace: Workspace, done: Mapping[str, str | None]) -> None:
    from hf_gate.members.rows.api_keys import list_api_keys

    found = [
        KeyRecord(
            name=key.name,
            verbs=list(key.verbs),
            repos=list(key.repos or ()),
            made_at=ms_to_iso(key.made_at),
        )
        for key in list_api_keys(workspace.store)
    ]
    record = KeysRecord(keys=found, **done)
    secret = [] if record.secret is None else [record.secret]
    names = [] if record.removed else [key.name for key in found]
    context.out.document(record, lambda: _key_lines(record), quiet=secret or names)


def _key_lines(record: KeysRecord) -> Iterator[str]:
    if record.removed:
        yield f"The key {record.removed} is removed, and its unsent decisions are undone."
    for key in record.keys:
        where = ", ".join(key.repos) or "all repos"
        yield f"{key.name}  {', '.join(key.verbs)}  {where}  made {key.made_at}"
    if not record.keys:
        yield "There are no keys."
    if record.secret:
        yield f"The secret is not shown again: {record.secret}"
