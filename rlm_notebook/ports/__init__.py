"""The protocols at the edges of the engine: model, cache, journal, observer, host; and the values they exchange.

Everything real (OpenAI, a JSON file, a widget) and every fake implements one of these small protocols, and features
compose by wrapping them. There is no behaviour in this package: `model` knows nothing of runs, `run` is about them.
"""

from .model import (
    FREE,
    Batchable,
    BatchEndpoint,
    Cache,
    Capabilities,
    ImagePart,
    Message,
    Mode,
    Model,
    NodeFacts,
    Part,
    ReferencedText,
    Reply,
    Request,
    ToolCall,
    call_started,
    report_call_started,
)
from .run import Host, Journal, Observer, VersionedJournal

__all__ = [
    "FREE",
    "BatchEndpoint",
    "Batchable",
    "Cache",
    "Capabilities",
    "Host",
    "ImagePart",
    "Journal",
    "Message",
    "Mode",
    "Model",
    "NodeFacts",
    "Observer",
    "Part",
    "ReferencedText",
    "Reply",
    "Request",
    "ToolCall",
    "VersionedJournal",
    "call_started",
    "report_call_started",
]
