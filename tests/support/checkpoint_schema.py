"""The shipped JSON Schema of a checkpoint, read and checked once: to check the schema takes longer than a document."""

import json
from typing import Any

import jsonschema

from rlm_notebook.checkpoints.document import SCHEMA_PATH

__all__ = ["require_valid"]

_VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text(encoding="utf-8")))


def require_valid(data: Any) -> None:
    """Raise `jsonschema.ValidationError` for a document that the schema does not describe."""
    _VALIDATOR.validate(data)
