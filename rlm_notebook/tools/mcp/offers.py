"""A server's list of tools as tools of this package: names, descriptions and schemas that providers take, and versions.

All of it was written by a stranger. What cannot be used is left out, with the reason among the `problems`; what a
description says of approval has no effect.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal

from ...core.keys import digest
from ...core.plain_text import terminal_text
from ...core.text import printable, well_formed, well_formed_value
from ...exceptions import ConfigurationError
from .. import Tool

__all__ = ["Approval", "Offers", "offers_of", "safe_name"]

Approval = Literal["auto", "always", "never"]
#: The longest description, in characters, and the largest schema, in characters of its JSON.
LONGEST_DESCRIPTION = 4_000
LARGEST_SCHEMA = 64_000
LONGEST_NAME = 64
#: Calls a tool, by the name that the server gave it and by its version.
Caller = Callable[[str, str, dict[str, Any]], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Offers:
    """The tools by the server's names for them, in its order; and what is wrong with its list, a line each."""

    tools: Mapping[str, Tool] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    #: The names of those that say that they only read.
    reading: frozenset[str] = frozenset()


def offers_of(
    server: str, listed: Iterable[Any], call: Caller, *, approval: Approval, timeout: float | None, before: Offers
) -> Offers:
    """The tools of a server's list; those that are as they were `before` are the same objects."""
    tools: dict[str, Tool] = {}
    problems: list[str] = []
    reading = set[str]()
    listed = list(listed)
    safe = Counter(safe_name(server, each.name) for each in {each.name: each for each in listed}.values())
    for each in listed:
        shown = printable(each.name)[:80]
        if each.name in tools:
            problems.append(f"{shown}: listed more than once; the first one is used")
            continue
        name = safe_name(server, each.name)
        if safe[name] > 1 and name != f"{server}__{each.name}":
            name = safe_name(server, each.name, distinct=True)
            problems.append(f"{shown}: other tools of this server have the same name for models; it is {name}")
        try:
            schema, problem = _schema(each.input_schema)
            description, cut = _description(each.description or "")
            if problem:
                raise ConfigurationError(problem)
            if cut:
                problems.append(f"{shown}: {cut}")
            version = digest([each.name, each.description or "", each.input_schema, each.output_schema])
            only_reads = each.annotations is not None and each.annotations.read_only_hint is True
            tool = Tool(
                name=name,
                description=description,
                function=_function(name, each.name, version, call),
                parameters=schema,
                timeout=timeout,
                version=version,
                requires_approval=approval == "always" or (approval == "auto" and not only_reads),
            )
        except (ConfigurationError, RecursionError) as error:
            problems.append(f"{shown}: left out: {error}")
            continue
        known = before.tools.get(each.name)
        same = known is not None and _FACTS(known) == _FACTS(tool)
        tools[each.name] = known if same and known is not None else tool
        if only_reads:
            reading.add(each.name)
    return Offers(tools, tuple(problems), frozenset(reading))


def safe_name(server: str, name: str, *, distinct: bool = False) -> str:
    """The name for models: `server__tool`, of the characters and the length that providers take."""
    wanted = f"{server}__{name}"
    safe = re.sub(r"[^a-zA-Z0-9_-]+", "_", wanted)
    if len(safe) <= LONGEST_NAME and not distinct:
        return safe
    return f"{safe[: LONGEST_NAME - 9]}_{digest(wanted)[:8]}"


_FACTS = attrgetter("name", "description", "version", "requires_approval", "timeout")


def _function(name: str, raw: str, version: str, call: Caller) -> Callable[..., Awaitable[str]]:
    async def called(**arguments: Any) -> str:
        return await call(raw, version, arguments)

    called.__name__ = called.__qualname__ = name
    return called


def _description(text: str) -> tuple[str, str]:
    """The description for models, and what is wrong with it."""
    plain = terminal_text(well_formed(text)).strip()
    if len(plain) <= LONGEST_DESCRIPTION:
        return plain, ""
    left_out = f"{len(plain) - LONGEST_DESCRIPTION:,} characters of its description are left out"
    return f"{plain[:LONGEST_DESCRIPTION]} [{left_out}]", left_out


def _schema(given: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The schema for models, and why it cannot be used."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    schema = {"properties": {}, **well_formed_value(given)} if given.get("type") == "object" else given
    size = len(json.dumps(schema))
    if size > LARGEST_SCHEMA:
        return schema, f"its schema has {size:,} characters, and at most {LARGEST_SCHEMA:,} are passed on"
    try:
        dialect = schema.get("$schema")
        known = validator_for({"$schema": dialect}, Draft202012Validator) if isinstance(dialect, str) else None
        (known or Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        return schema, f"its schema is no valid JSON Schema ({printable(error.message)[:120]})"
    return schema, ""
