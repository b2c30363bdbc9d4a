"""Writes the schema of a store on a PostgreSQL server to a file, with PostgreSQL's own program."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from hf_gate.errors import StoreUnavailable, UsageError

from .sql import Postgres


def dump_schema(url: str, target: Path) -> None:
    """Run `pg_dump` for the schema of a store. The password is in its environment, because others see its arguments."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    program = shutil.which("pg_dump")
    if program is None:
        raise UsageError(
            "pg_dump is not installed here, and a backup of a store on a server needs it.",
            hint="Install the client programs of PostgreSQL, not older than the server.",
        )
    db = Postgres(url, writes=False, name="hf-gate store backup")
    try:
        ((schema,),) = db.rows("SELECT current_schema()")
    finally:
        db.close()
    about = conninfo_to_dict(url)
    secret = {"PGPASSWORD": str(about.pop("password"))} if about.get("password") else {}
    pattern = schema.replace('"', '""')  # in quotes it is a name, with no wildcards and in any case
    own = [] if schema == "public" else [f'--schema="{pattern}"']  # a new database has that schema already
    words = [*own, "--format=custom", f"--file={target}", f"--dbname={make_conninfo('', **about)}"]
    done = subprocess.run(  # noqa: S603 - a fixed program
        [program, *words], env={**os.environ, **secret}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        line = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise StoreUnavailable(f"pg_dump failed: {line}", hint="Nothing was written.")
