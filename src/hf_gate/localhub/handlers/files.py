"""Handlers for the files of a repo: reading them if the gate allows it, and committing small ones."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from hf_gate.base.frontmatter import find_front_matter
from hf_gate.base.yaml_parser import parse_yaml
from hf_gate.localhub.context import NO_RIGHT, BodyValidator, CallContext
from hf_gate.localhub.http_messages import HttpError, HttpResponse, json_response
from hf_gate.localhub.records import Commit, HubRepo

from .access import check_gate

# The gate never hides these from `resolve`.
OPEN_FILES = frozenset({"README.md", "LICENSE", "LICENSE.md", "LICENSE.txt"})
MAX_FILE_SIZE = 5 << 20  # larger files need LFS, which the local Hub does not have


# ---- files -----------------------------------------------------------------------------------------------------------


def make_blob_id(content: bytes) -> str:
    """Return Git's object id of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def commit_files(hub_repo: HubRepo, files: dict[str, bytes], title: str, at_ms: int) -> Commit:
    parent = hub_repo.commits[-1].oid if hub_repo.commits else ""
    names = "".join(f"{path}\0{make_blob_id(content)}\0" for path, content in sorted(files.items()))
    seed = f"{parent}|{hub_repo.id}|{title}|{at_ms}|{len(hub_repo.commits)}|{names}"
    commit = Commit(hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest(), at_ms, title, files)
    hub_repo.commits.append(commit)
    return commit


def find_commit(context: CallContext) -> Commit:
    revision = context.call.parts.get("revision", "main")
    hub_repo = context.hub_repo
    if revision in {"main", "refs/heads/main"}:
        return hub_repo.head
    found = next(
        (commit for commit in hub_repo.commits if len(revision) >= 7 and commit.oid.startswith(revision)), None
    )
    if found is None:
        raise HttpError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return found


def resolve_file(context: CallContext) -> HttpResponse:
    path = context.call.parts["path"]
    if path not in OPEN_FILES or context.hub_repo.is_disabled:
        check_gate(context)
    commit = find_commit(context)
    content = commit.files.get(path)
    if content is None:
        raise HttpError(404, "Entry not found", "EntryNotFound", X_Repo_Commit=commit.oid)
    oid = make_blob_id(content)
    headers = {
        "Content-Type": "text/plain; charset=utf-8" if path.endswith((".md", ".txt")) else "application/octet-stream",
        "ETag": f'"{oid}"',
        "X-Repo-Commit": commit.oid,
        "X-Linked-Size": str(len(content)),
        "X-Linked-ETag": f'"{oid}"',
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(path.rpartition('/')[2], safe='')}",
    }
    span = context.request.headers.get("range", "")
    if span.startswith("bytes=") and span.endswith("-") and span[6:-1].isdecimal():
        start = min(int(span[6:-1]), len(content))
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return HttpResponse(206, headers, content[start:])
    return HttpResponse(200, headers, content)


def list_tree(context: CallContext) -> HttpResponse:
    commit = find_commit(context)
    below = context.call.parts.get("path", "").strip("/")
    deep = context.request.params.get("recursive", "").lower() in {"true", "1"}
    prefix = f"{below}/" if below else ""
    entries: dict[str, dict[str, object]] = {}
    for path, content in sorted(commit.files.items()):
        if path.startswith(prefix):
            for folder in _list_folders(path, prefix) if deep else _list_folders(path, prefix)[:1]:
                oid = hashlib.sha1(folder.encode(), usedforsecurity=False).hexdigest()
                entries.setdefault(folder, {"type": "directory", "oid": oid, "size": 0, "path": folder})
            if deep or "/" not in path[len(prefix) :]:
                entries[path] = {"type": "file", "oid": make_blob_id(content), "size": len(content), "path": path}
    if below and not entries:
        raise HttpError(404, f'{below} does not exist on "main"', "EntryNotFound")
    return json_response(list(entries.values()))


def _list_folders(path: str, prefix: str) -> list[str]:
    parts = path[len(prefix) :].split("/")[:-1]
    return [prefix + "/".join(parts[: n + 1]) for n in range(len(parts))]


def preupload(context: CallContext) -> HttpResponse:
    """Tell the client to upload every file directly: the local Hub has no LFS."""
    hub_repo = _require_writer(context)
    body = BodyValidator(context.request.body)
    files = body.get_items("files", 1000)
    body.raise_problems()
    here = hub_repo.head.files
    answers: list[dict[str, object]] = []
    for file in files:
        path = str(file.get("path", "")) if isinstance(file, dict) else ""
        line: dict[str, object] = {"path": path, "uploadMode": "regular", "shouldIgnore": False}
        answers.append(line | ({"oid": make_blob_id(here[path])} if path in here else {}))
    return json_response({"files": answers, "commitOid": hub_repo.head.oid})


def create_commit(context: CallContext) -> HttpResponse:
    hub_repo = _require_writer(context)
    if context.call.parts["revision"] not in {"main", "refs/heads/main"}:
        raise HttpError(404, f"Invalid rev id: {context.call.parts['revision']}", "RevisionNotFound")
    title = ""
    files = dict(hub_repo.head.files)
    for key, value in _parse_commit_lines(context.request.body):
        if key == "header":
            title = str(value.get("summary", ""))
            parent = value.get("parentCommit")
            if parent is not None and parent != hub_repo.head.oid:
                raise HttpError(412, "A commit has happened since. Please refresh and try again.")
        else:
            _apply_line(files, key, value)
    made = commit_files(hub_repo, files, title, context.now_ms)
    url = f"{context.request.base_url}/{hub_repo.repo.web_path}/commit/{made.oid}"
    return json_response({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})


def _parse_commit_lines(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for text in body.splitlines():
        if not text.strip():
            continue
        try:
            line = msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise HttpError(400, "✖ Invalid JSON") from None
        if not (isinstance(line, dict) and isinstance(line.get("key"), str) and isinstance(line.get("value"), dict)):
            raise HttpError(400, "✖ Invalid input: expected a key and a value on each line")
        yield line["key"], line["value"]


def _apply_line(files: dict[str, bytes], key: str, value: dict[str, Any]) -> None:
    path = value.get("path")
    if not isinstance(path, str) or not path or ".." in path.split("/") or path.startswith("/"):
        raise HttpError(400, "✖ Invalid path\n  → at path")
    if key == "file":
        content = str(value.get("content", ""))
        try:
            data = b64decode(content, validate=True) if value.get("encoding") == "base64" else content.encode()
        except ValueError:
            raise HttpError(400, "✖ Invalid base64\n  → at content") from None
        if len(data) > MAX_FILE_SIZE:
            raise HttpError(400, "The local Hub stores small files only")
        files[path] = data
    else:
        raise HttpError(400, f"The local Hub stores small files only and does not support {key}")


def _require_writer(context: CallContext) -> HubRepo:
    caller = context.caller
    hub_repo = context.hub_repo
    if not context.world.can_write(caller, hub_repo):
        raise HttpError(403, NO_RIGHT)
    return hub_repo


def validate_yaml(context: CallContext) -> HttpResponse:
    """Check card metadata; the official client calls this before each commit of a README."""
    body = BodyValidator(context.request.body)
    text = body.get_text("content", needed=True) or ""
    body.raise_problems()
    block = find_front_matter(text)
    problems = parse_yaml(block.text).problems if block.text is not None else ()
    return json_response(
        {"errors": [{"message": p.message} for p in problems], "warnings": []}, 400 if problems else 200
    )
