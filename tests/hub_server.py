"""As much of the Hugging Face Hub as pushing and fetching a run needs, on this machine alone."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """What it holds, and how it behaves."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    refuses: str = ""
    """What a call that is refused begins with."""

    lies: dict[str, int] = field(default_factory=dict)
    """Sizes that it tells of files."""

    address: str = ""

    def commit_of(self, name: str) -> str:
        """A number that follows from what a repository holds."""
        content = sorted(self.repositories[name].items())
        return hashlib.sha1(repr(content).encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers one call."""

    hub: Hub

    def log_message(self, *args: Any) -> None:
        """Nothing."""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, code: int, content: Any = None, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_any(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self.body()
        call = f"{self.command} {path}"
        self.hub.calls.append(call)
        if self.hub.refuses and call.startswith(self.hub.refuses):
            self.answer(403, {"error": "not today"})
        elif self.command in ("POST", "DELETE"):
            self.change(path, body)
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/.*)?", path):
            self.tell(found[1])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.give(found[1], found[3])
        else:
            self.answer(404, {"error": "no such page"})

    do_GET = do_POST = do_HEAD = do_DELETE = do_any  # noqa: N815

    def tell(self, name: str) -> None:
        if name not in self.hub.repositories:
            self.answer(404, {"error": "none"}, X_Error_Code="RepoNotFound")
            return
        files = [
            {"rfilename": path, "size": self.hub.lies.get(path, len(content))}
            for path, content in self.hub.repositories[name].items()
        ]
        self.answer(200, {"id": name, "sha": self.hub.commit_of(name), "siblings": files})

    def give(self, name: str, path: str) -> None:
        content = self.hub.repositories[name].get(path)
        if content is None:
            self.answer(404, {"error": "none"}, X_Error_Code="EntryNotFound")
            return
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        self.answer(200, content, ETag=etag, X_Repo_Commit=self.hub.commit_of(name))

    def change(self, path: str, body: bytes) -> None:
        repositories = self.hub.repositories
        if path in ("/api/repos/create", "/api/repos/delete"):
            told = json.loads(body)
            name = f"{told.get('organization') or 'me'}/{told['name']}".split("/")
            full = "/".join(name[-2:])
            if path.endswith("create"):
                repositories.setdefault(full, {})
            else:
                del repositories[full]
            self.answer(200, {"url": f"{self.hub.address}/{full}"})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular"} for f in files]
            self.answer(200, {"files": [{**mode, "shouldIgnore": False} for mode in modes]})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            for line in map(json.loads, body.decode().splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    repositories[found[1]][line["value"]["path"]] = content
            commit = self.hub.commit_of(found[1])
            url = f"{self.hub.address}/{found[1]}/commit/{commit}"
            self.answer(200, {"success": True, "commitOid": commit, "commitUrl": url})
        else:
            self.answer(200, {})


@contextmanager
def serving() -> Iterator[Hub]:
    """A Hub that is there inside."""
    hub = Hub()
    handler = type("Handler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
