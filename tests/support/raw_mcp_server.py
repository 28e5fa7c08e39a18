"""An MCP server without the SDK, so that it starts fast and can say what no SDK would let it say.

`python raw_mcp_server.py FOLDER`: `tools.json` there is its list of tools, `replies.json` what a call of each gives:
the text of its result, an object (the whole result), `{"raw": LINE}` for a line as it is, or `{"exit": CODE}`. Starts
and calls are written to `log`, a line each.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
SCRIPT = Path(__file__)


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def log(line: str) -> None:
    with (FOLDER / "log").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def answer(message: dict[str, Any]) -> dict[str, Any]:
    method, version = message["method"], "2025-06-18"
    if method == "initialize":
        about = {"name": "raw", "version": "1"}
        result: Any = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
    elif method == "tools/list":
        result = {"tools": read("tools.json")}
    elif method == "tools/call":
        name, arguments = message["params"]["name"], message["params"].get("arguments", {})
        log(f"call {name} {json.dumps(arguments)}")
        reply = read("replies.json").get(name, "")
        if isinstance(reply, dict) and "exit" in reply:
            print("the last words", file=sys.stderr, flush=True)
            os._exit(reply["exit"])
        if isinstance(reply, dict) and "raw" in reply:
            return {"raw": reply["raw"].replace("ID", str(message["id"]))}
        result = reply if isinstance(reply, dict) else {"content": [{"type": "text", "text": reply}]}
    else:
        return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": f"no {method}"}}
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def main() -> None:
    log(f"start {os.getpid()}")
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            reply = answer(message)
            sys.stdout.write(f"{reply.get('raw') or json.dumps(reply)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
