"""store remove: deletes the store and all other data of hf-gate, after a typed confirmation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
from msgspec import Struct

from ..application.owner_files import list_owner_files
from ..domain.display_text import pluralize, to_json
from ..errors import Guarded, StoreDamaged, UsageError
from ..private_files import write_private_file
from .framework import Run, command
from .store import check_no_desk, find_other_files, open_store, store_path
from .workspace import waiting_notice


class _Removal(Struct, frozen=True):
    """The stores to remove: files, or with `url` a store on a server. `name` is what the user must type."""

    name: str
    paths: Sequence[Path] = ()
    url: str | None = None
    is_all_hubs: bool = False


@command(
    "remove",
    examples=(
        "hf-gate store remove",
        "hf-gate store remove --checkpoint heads.json --yes --name huggingface.co",
    ),
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask; needs --name.")
@click.option("--name", metavar="NAME", help="The name to confirm with; needs --yes.")
@click.option(
    "--checkpoint", metavar="FILE", type=click.Path(path_type=Path), help="Save a checkpoint of the audit log first."
)
@click.option("--all-hubs", is_flag=True, help="Remove all your stores outside workspaces, of every Hub.")
@click.option("--damaged", is_flag=True, help="Remove a store even if it cannot be read.")
def store_remove(
    run: Run, *, yes: bool, name: str | None, checkpoint: Path | None, all_hubs: bool, damaged: bool
) -> int:
    """Delete the store (requests, people, decisions, audit log, sessions), and lock files and caches of hf-gate.

    Changes nothing on the Hub: accepted people keep access, and grants no longer end automatically. Your own files
    stay. Refused while changes are unsettled. To save what you may need later, first run `hf-gate store export DIR`.
    """
    removal = _find_removal(run, all_hubs=all_hubs)
    if not all_hubs:
        check_no_desk(run)
    check = _settled_check(removal, damaged=damaged)
    check()
    _write_checkpoint(run, removal, checkpoint, asks=not yes)
    _confirm(run, removal, yes=yes, name=name)
    written = find_other_files(run, removal.paths)  # before the list of them is removed
    removed = _remove(run, removal, check)
    stays = [path for path in (*_find_kept_files(run, removal), *written) if os.path.lexists(path)]
    stays = list(dict.fromkeys(stays))
    doc = {
        "stores": [removal.url] if removal.url else [str(path) for path in removal.paths],
        "removed": [str(path) for path in removed],
        "stays": [str(path) for path in stays],
    }
    run.out.document(
        doc, lambda: _describe_removal(run, removal, removed, stays), quiet=[str(path) for path in removed]
    )
    return 0


def _find_removal(run: Run, *, all_hubs: bool) -> _Removal:
    from .. import bootstrap
    from ..application.store_maintenance import name_of_server_store

    if all_hubs:
        return _Removal("all", sorted(run.settings.paths.stores.glob("*.db")), is_all_hubs=True)
    path = store_path(run)
    if path is None:
        return _Removal(name_of_server_store(bootstrap.store_url(run.settings, run.location)), url="server")
    folder = run.location.folder
    return _Removal(bootstrap.name_of_hub(run.settings) if folder is None else folder.name, [path])


def _settled_check(removal: _Removal, *, damaged: bool) -> Callable[[], None]:
    """Return a check that raises Guarded while changes are unsettled, because only the store can settle them."""
    from ..application.store_maintenance import count_unsettled

    def check() -> None:
        for path in removal.paths:
            if not path.is_file() or path.is_symlink():
                continue
            try:
                check_settled(count_unsettled(path), str(path))
            except StoreDamaged as problem:
                if not damaged:
                    hint = "To remove the store anyway, add --damaged."
                    raise StoreDamaged(
                        f"{str(problem).rstrip('.')}; there may be unsettled changes.", hint=hint
                    ) from None

    return check


def check_settled(count: int, store: str) -> None:
    """Raise Guarded if there are changes with an unknown outcome."""
    if count:
        raise Guarded(
            f"{store}: {pluralize(count, 'change')} may have been sent, with an unknown outcome; nothing was removed.",
            hint="Find the run with `hf-gate runs ls`; settle it with `hf-gate runs continue RUN`.",
        )


def _write_checkpoint(run: Run, removal: _Removal, target: Path | None, *, asks: bool) -> None:
    from .. import bootstrap
    from ..application.ledger_files import checkpoint_to_dict, read_heads

    if removal.is_all_hubs:
        if target is not None:
            raise UsageError("--checkpoint works for only one store.", hint="Omit --all-hubs.")
        return
    if target is None and asks and run.may_ask and bootstrap.has_store(run.settings, run.location):
        answer = click.prompt(
            "File for a checkpoint of the audit log, which can later prove an export (empty: none)",
            default="", show_default=False, err=True,
        )  # fmt: skip
        target = Path(answer).expanduser() if answer.strip() else None
    if target is None:
        return
    if os.path.lexists(target):
        raise UsageError(f"{target} exists; nothing was removed.", hint="Name a file that does not exist yet.")
    opened = open_store(run)
    doc = checkpoint_to_dict(read_heads(opened.store, bootstrap.utc_now()), opened.store.endpoint)
    opened.store.close()
    write_private_file(target.absolute(), (to_json(doc) + "\n").encode())


def _confirm(run: Run, removal: _Removal, *, yes: bool, name: str | None) -> None:
    if yes or name is not None:
        if not yes or name != removal.name:
            raise Guarded(
                f"--name {name} is not the name of this store; nothing was removed."
                if name not in (None, removal.name)
                else "--yes and --name are both needed; nothing was removed.",
                hint=f"To remove the store: --yes --name {removal.name}",
            )
        return
    if not run.may_ask:
        raise Guarded("cannot ask for confirmation here; nothing was removed.", hint=f"Add --yes --name {removal.name}")
    for path in removal.paths:
        run.out.say(f"  {path}")
    run.out.say("All data of hf-gate in these stores is deleted. Nothing changes on the Hub.")
    answer = click.prompt(f"Type {removal.name} to continue", default="", show_default=False, err=True)
    if answer.strip() != removal.name:
        raise Guarded("not confirmed; nothing was removed.")


def _remove(run: Run, removal: _Removal, check: Callable[[], None]) -> list[Path]:
    from .. import bootstrap
    from ..application import store_maintenance
    from ..sources.policy_files import LOCK_NAME

    tell, wait, paths = waiting_notice(run), bootstrap.store_wait(run.settings), run.settings.paths
    who = store_maintenance.this_process(click.get_current_context().command_path)
    removed: list[Path] = []
    for path in removal.paths:
        if store_maintenance.files_of(path):
            removed += store_maintenance.remove_files(path, who, wait=wait, check=check, on_wait=tell)
    if removal.url:
        url = bootstrap.store_url(run.settings, run.location)
        store_maintenance.remove_tables(
            url, who, wait=wait, check=lambda count: check_settled(count, removal.name), on_wait=tell
        )
    folder = run.location.folder
    locks = [] if folder is None or removal.is_all_hubs else [folder / LOCK_NAME]
    removed += store_maintenance.remove_traces(paths.state, [paths.accounts, *locks])
    beside = [path.parent for path in removal.paths if folder is not None and path.parent != folder]
    ours = [paths.stores, paths.data, paths.state / "ui", paths.profiles, paths.state, paths.cache]
    return removed + store_maintenance.remove_empty_folders([*beside, *ours])


def _find_kept_files(run: Run, removal: _Removal) -> list[Path]:
    """Return the files that stay: the owner's files, and others that may contain personal data."""
    from ..application.starter_workspace import GITIGNORE

    found = list_owner_files(run.location)
    for path in removal.paths:
        found += sorted(path.parent.glob(f"{path.name}*")) if path.parent.is_dir() else []
    if (folder := run.location.folder) is not None:
        found += [path for glob in GITIGNORE for path in sorted(folder.glob(glob.rstrip("/")))]
    config = run.settings.paths.config_file
    return list(dict.fromkeys([*found, *([config] if config.is_file() else [])]))


def _describe_removal(run: Run, removal: _Removal, removed: Sequence[Path], stays: Sequence[Path]) -> Iterator[str]:
    if removal.url:
        yield f"Removed the tables of {removal.name}."
    yield from (f"Removed {path}" for path in removed)
    if not removed and not removal.url:
        yield "Nothing to remove."
    for path in stays:
        what = (
            "your store of this Hub outside workspaces"
            if path.parent == run.settings.paths.stores
            else "because it is your file"
        )
        yield f"Kept, {what}: {path}"
    yield "Nothing was changed on the Hub."
