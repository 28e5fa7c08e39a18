"""The offline model: a model without key, network and weights.

It is rule-based and extractive, and every reply is labelled so. `tasks` parses instructions, `documents` (with
`headings` and `markdown`) the structure of a text, `language` words and sentences; `ranking` and `terms` select among
them; `arithmetic` and `tables` (with `table_text`) compute exact answers; `planner`, `worker`, `synthesizer` and
`coder` answer the four kinds of request. Only `model` depends on the `Model` port. Everything is a pure function of the
request, so equal tasks get equal answers.
"""

from .model import LABEL, OfflineModel

__all__ = ["LABEL", "OfflineModel"]
