"""The batch endpoints of OpenAI and Anthropic on 127.0.0.1, as far as the SDKs need them; standard library only.

A batch ends when the test says so (`finish`), or at once with `at_once`. What a request gets is decided by
`answer(body)`: a text, or an error as (status, message).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

__all__ = ["BatchServer"]

Answer = str | tuple[int, str] | None


class BatchServer:
    """Serves while the block runs. `batches` are those that were made, with their requests by custom id."""

    def __init__(self, answer: Callable[[dict[str, Any]], Answer], *, at_once: bool = True) -> None:
        self.answer = answer
        self.at_once = at_once
        self.batches: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.log: list[str] = []
        #: Called after a batch was made and before its id is sent: raise to break the connection.
        self.before_reply: Callable[[], None] = lambda: None
        handler = type("_Bound", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.root = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.root}/v1"

    def __enter__(self) -> BatchServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def finish(self) -> None:
        for batch in self.batches.values():
            batch["ended"] = True
        self.at_once = True

    def requests(self) -> list[dict[str, Any]]:
        return [body for batch in self.batches.values() for body in batch["bodies"].values()]

    # -- what both providers do ------------------------------------------------------------------------------------

    def made(self, bodies: dict[str, dict[str, Any]], metadata: Any) -> str:
        identity = f"batch_{len(self.batches)}"
        self.batches[identity] = {
            "bodies": bodies, "metadata": metadata, "ended": self.at_once, "created": time.time()
        }  # fmt: skip
        return identity

    def openai_batch(self, identity: str) -> dict[str, Any]:
        batch = self.batches[identity]
        ended = batch["ended"]
        lines: dict[str, list[str]] = {"out": [], "err": []}
        for custom_id, body in batch["bodies"].items():
            found = self.answer(body)
            if found is None:
                continue
            ok = isinstance(found, str)
            status, content = (
                (200, _completion(body, str(found))) if ok else (found[0], {"error": {"message": found[1]}})
            )
            line = {"custom_id": custom_id, "response": {"status_code": status, "body": content}, "error": None}
            lines["out" if ok else "err"].append(json.dumps(line))
        for kind, content in lines.items():
            self.files[f"{identity}-{kind}"] = "\n".join(content).encode()
        return {
            "id": identity,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "input_file_id": "in",
            "completion_window": "24h",
            "status": "completed" if ended else "in_progress",
            "created_at": int(batch["created"]),
            "metadata": batch["metadata"],
            "output_file_id": f"{identity}-out" if ended and lines["out"] else None,
            "error_file_id": f"{identity}-err" if ended and lines["err"] else None,
        }

    def anthropic_batch(self, identity: str) -> dict[str, Any]:
        batch = self.batches[identity]
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(batch["created"]))
        return {
            "id": identity,
            "type": "message_batch",
            "processing_status": "ended" if batch["ended"] else "in_progress",
            "request_counts": {
                "processing": len(batch["bodies"]), "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0
            },
            "created_at": stamp,
            "expires_at": stamp,
            "results_url": f"{self.root}/v1/messages/batches/{identity}/results" if batch["ended"] else None,
        }  # fmt: skip

    def anthropic_results(self, identity: str) -> bytes:
        lines = []
        for custom_id, body in self.batches[identity]["bodies"].items():
            found = self.answer(body)
            if isinstance(found, str):
                result: dict[str, Any] = {"type": "succeeded", "message": _message(body, found)}
            elif found is None:
                result = {"type": "expired"}
            else:
                inner = {"type": "invalid_request_error", "message": found[1]}
                result = {"type": "errored", "error": {"type": "error", "error": inner, "request_id": None}}
            lines.append(json.dumps({"custom_id": custom_id, "result": result}))
        return ("\n".join(lines) + "\n").encode()


def _completion(body: dict[str, Any], text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "c",
        "object": "chat.completion",
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500},
    }


def _message(body: dict[str, Any], text: str) -> dict[str, Any]:
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1_000, "output_tokens": 500},
    }


class _Handler(BaseHTTPRequestHandler):
    owner: BatchServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        self.owner.log.append(f"{self.command} {self.path}")

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        owner = self.owner
        if self.path == "/v1/files":
            boundary = re.search(r"boundary=(\S+)", self.headers["Content-Type"])
            assert boundary is not None
            parts = content.split(b"--" + boundary[1].strip('"').encode())
            body = next(part.partition(b"\r\n\r\n")[2] for part in parts if b'name="file"' in part)
            name = f"file_{len(owner.files)}"
            owner.files[name] = body.rstrip(b"\r\n")
            self._send({"id": name, "object": "file", "bytes": 1, "created_at": 1, "filename": "f", "purpose": "batch"})
            return
        given = json.loads(content)
        if self.path == "/v1/batches":
            lines = map(json.loads, owner.files[given["input_file_id"]].splitlines())
            identity = owner.made({line["custom_id"]: line["body"] for line in lines}, given["metadata"])
            made = owner.openai_batch(identity)
        else:
            assert self.path == "/v1/messages/batches", self.path
            identity = owner.made({each["custom_id"]: each["params"] for each in given["requests"]}, None)
            made = owner.anthropic_batch(identity)
        try:
            owner.before_reply()
        except ConnectionError:
            self.close_connection = True
            return
        self._send(made)

    def do_GET(self) -> None:
        path, owner = self.path.partition("?")[0], self.owner
        parts = path.strip("/").split("/")
        shown = owner.anthropic_batch if "messages" in parts else owner.openai_batch
        if parts[-1] == "batches":
            data = [shown(each) for each in reversed(owner.batches)]
            self._send({"object": "list", "data": data, "has_more": False, "first_id": None, "last_id": None})
        elif parts[-1] == "results":
            self._send_bytes(owner.anthropic_results(parts[-2]), "application/x-jsonl")
        elif parts[-1] == "content":
            self._send_bytes(owner.files[parts[-2]], "application/jsonl")
        else:
            self._send(shown(parts[-1]))

    def _send(self, value: Any) -> None:
        self._send_bytes(json.dumps(value).encode(), "application/json")

    def _send_bytes(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
