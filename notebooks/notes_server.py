"""A small MCP server for the tutorial, on stdin: notes on a harbour, which are kept while it runs."""

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("notes", log_level="ERROR")
NOTES = [
    "2021-05-02: the crane at pier 3 was repaired for 12,000 euros.",
    "2022-11-19: a storm closed the harbour for two days.",
    "2023-03-08: pier 3 may carry 40 tons, no more.",
]


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def search(words: str) -> list[str]:
    """Search the notes: those in which all the words are."""
    return [note for note in NOTES if all(word in note.lower() for word in words.lower().split())]


@server.tool()
def add(note: str) -> str:
    """Add a note, which begins with its date."""
    NOTES.append(note)
    return f"there are {len(NOTES)} notes now"


if __name__ == "__main__":
    server.run("stdio")
