"""Builds the columns and partial indexes of the tables in `schema`, alike for both databases."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Identity, Index, Integer, LargeBinary, Text, false, text

BIG_INTEGER: Final = BigInteger().with_variant(Integer(), "sqlite")
_NO: Final = false()


def integer_column(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BIG_INTEGER, nullable=null)


def integer_columns(*names: str, null: bool = False) -> list[Column[int]]:
    return [integer_column(name, null=null) for name in names]


def id_column() -> Column[int]:
    """Build an `id` that the database generates: an identity column, or SQLite's rowid."""
    return Column("id", BIG_INTEGER, Identity(), primary_key=True)


def given_id_column(name: str) -> Column[int]:
    """Build a key that the writer gives: the id of a row in another table, or a number within a run."""
    return Column(name, BIG_INTEGER, primary_key=True, autoincrement=False)


def text_column(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def text_columns(*names: str, null: bool = False) -> list[Column[str]]:
    return [text_column(name, null=null) for name in names]


def bytes_column(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


def boolean_column(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=_NO)


def foreign_key_column(table: str, name: str, *, null: bool = False, key: bool = False) -> Column[int]:
    return Column(
        name,
        BIG_INTEGER,
        ForeignKey(f"{table}.id"),
        nullable=null,
        primary_key=key,
        autoincrement=False if key else "auto",
    )


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))
