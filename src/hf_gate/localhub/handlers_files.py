"""The Hub's answers about the files of a repo: reading them past the gate, and committing small ones."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from ..domain.frontmatter import front_matter
from ..domain.yamltext import parse
from .context import NO_RIGHT, Context
from .handlers_access import check_gate
from .records import Commit, Gated
from .wire import Answered, Refusal, json_answer
from .zod import Body

OPEN_FILES = frozenset(
    {"README.md", "LICENSE", "LICENSE.md", "LICENSE.txt"}
)  # the gate never hides these from `resolve`
SMALL = 5 << 20  # bytes of a file that is kept; larger ones belong in LFS, which is not here


# ---- files --------------------------------------------------------------------------------------------------------------


def blob_id(content: bytes) -> str:
    """Git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def commit_files(gated: Gated, files: dict[str, bytes], title: str, at_ms: int) -> Commit:
    parent = gated.commits[-1].oid if gated.commits else ""
    names = "".join(f"{path}\0{blob_id(content)}\0" for path, content in sorted(files.items()))
    seed = f"{parent}|{gated.id}|{title}|{at_ms}|{len(gated.commits)}|{names}"
    commit = Commit(hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest(), at_ms, title, files)
    gated.commits.append(commit)
    return commit


def commit_at(c: Context) -> Commit:
    revision = c.call.parts.get("revision", "main")
    gated = c.gated
    if revision in {"main", "refs/heads/main"}:
        return gated.head
    found = next((commit for commit in gated.commits if len(revision) >= 7 and commit.oid.startswith(revision)), None)
    if found is None:
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return found


def resolve(c: Context) -> Answered:
    path = c.call.parts["path"]
    if path not in OPEN_FILES:
        check_gate(c)
    return _file(c, path)


def raw(c: Context) -> Answered:
    check_gate(c)
    return _file(c, c.call.parts["path"])


def _file(c: Context, path: str) -> Answered:
    commit = commit_at(c)
    content = commit.files.get(path)
    if content is None:
        raise Refusal(404, "Entry not found", "EntryNotFound", X_Repo_Commit=commit.oid)
    oid = blob_id(content)
    headers = {
        "Content-Type": "text/plain; charset=utf-8" if path.endswith((".md", ".txt")) else "application/octet-stream",
        "ETag": f'"{oid}"',
        "X-Repo-Commit": commit.oid,
        "X-Linked-Size": str(len(content)),
        "X-Linked-ETag": f'"{oid}"',
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(path.rpartition('/')[2], safe='')}",
    }
    span = c.asked.headers.get("range", "")
    if span.startswith("bytes=") and span.endswith("-") and span[6:-1].isdecimal():
        start = min(int(span[6:-1]), len(content))
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return Answered(206, headers, content[start:])
    return Answered(200, headers, content)


def tree(c: Context) -> Answered:
    commit = commit_at(c)
    below = c.call.parts.get("path", "").strip("/")
    deep = c.asked.params.get("recursive", "").lower() in {"true", "1"}
    prefix = f"{below}/" if below else ""
    entries: dict[str, dict[str, object]] = {}
    for path, content in sorted(commit.files.items()):
        if path.startswith(prefix):
            for folder in _folders(path, prefix) if deep else _folders(path, prefix)[:1]:
                oid = hashlib.sha1(folder.encode(), usedforsecurity=False).hexdigest()
                entries.setdefault(folder, {"type": "directory", "oid": oid, "size": 0, "path": folder})
            if deep or "/" not in path[len(prefix) :]:
                entries[path] = {"type": "file", "oid": blob_id(content), "size": len(content), "path": path}
    if below and not entries:
        raise Refusal(404, f'{below} does not exist on "main"', "EntryNotFound")
    return json_answer(list(entries.values()))


def _folders(path: str, prefix: str) -> list[str]:
    parts = path[len(prefix) :].split("/")[:-1]
    return [prefix + "/".join(parts[: n + 1]) for n in range(len(parts))]


def preupload(c: Context) -> Answered:
    """Every file goes the plain way: the local Hub has no LFS."""
    gated = _writable(c)
    body = Body(c.asked.body)
    files = body.items("files", 1000)
    body.settle()
    here = gated.head.files
    answers: list[dict[str, object]] = []
    for file in files:
        path = str(file.get("path", "")) if isinstance(file, dict) else ""
        line: dict[str, object] = {"path": path, "uploadMode": "regular", "shouldIgnore": False}
        answers.append(line | ({"oid": blob_id(here[path])} if path in here else {}))
    return json_answer({"files": answers, "commitOid": gated.head.oid})


def commit(c: Context) -> Answered:
    gated = _writable(c)
    if c.call.parts["revision"] not in {"main", "refs/heads/main"}:
        raise Refusal(404, f"Invalid rev id: {c.call.parts['revision']}", "RevisionNotFound")
    title, files = "", dict(gated.head.files)
    for key, value in _commit_lines(c.asked.body):
        if key == "header":
            title = str(value.get("summary", ""))
            parent = value.get("parentCommit")
            if parent is not None and parent != gated.head.oid:
                raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        else:
            _apply(files, key, value)
    made = commit_files(gated, files, title, c.now_ms)
    url = f"{c.asked.base_url}/{gated.repo.web_path}/commit/{made.oid}"
    return json_answer({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})


def _commit_lines(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for text in body.splitlines():
        if not text.strip():
            continue
        try:
            line = msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise Refusal(400, "✖ Invalid JSON") from None
        if not (isinstance(line, dict) and isinstance(line.get("key"), str) and isinstance(line.get("value"), dict)):
            raise Refusal(400, "✖ Invalid input: expected a key and a value on each line")
        yield line["key"], line["value"]


def _apply(files: dict[str, bytes], key: str, value: dict[str, Any]) -> None:
    path = value.get("path")
    if not isinstance(path, str) or not path or ".." in path.split("/") or path.startswith("/"):
        raise Refusal(400, "✖ Invalid path\n  → at path")
    if key == "file":
        content = str(value.get("content", ""))
        try:
            data = b64decode(content, validate=True) if value.get("encoding") == "base64" else content.encode()
        except ValueError:
            raise Refusal(400, "✖ Invalid base64\n  → at content") from None
        if len(data) > SMALL:
            raise Refusal(400, "The local Hub keeps small files only")
        files[path] = data
    elif key in {"deletedFile", "deletedFolder"}:
        gone = [
            name
            for name in files
            if name == path or (key == "deletedFolder" and name.startswith(path.rstrip("/") + "/"))
        ]
        if not gone:
            raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
        for name in gone:
            del files[name]
    else:
        raise Refusal(400, f"The local Hub keeps small files only, and knows no {key}")


def _writable(c: Context) -> Gated:
    caller = c.caller
    gated = c.gated
    if not c.world.may_write(caller, gated):
        raise Refusal(403, NO_RIGHT)
    return gated


def validate_yaml(c: Context) -> Answered:
    """The official client has card metadata checked before each commit of a README."""
    body = Body(c.asked.body)
    text = body.text("content", needed=True) or ""
    body.settle()
    block = front_matter(text)
    problems = parse(block.text).problems if block.text is not None else ()
    return json_answer({"errors": [{"message": p.message} for p in problems], "warnings": []}, 400 if problems else 200)
