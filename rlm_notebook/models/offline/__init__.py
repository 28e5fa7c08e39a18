"""The offline model: what a run can do with no key, no network and no weights.

It is rule-based and extractive, and says so. This package holds its parts: `tasks` reads what is wanted, `documents`
(with `headings` and `markdown`) the structure of a text, `language` words and sentences, `ranking` and `terms` choose
among them, `arithmetic` and `tables` (with `table_text`) are exact; `planner`, `worker` and `synthesizer` answer the
three kinds of request. Only `model` knows the port. Everything here is a pure function of the request, so the same
task always gives the same answer.
"""

from .model import LABEL, OfflineModel

__all__ = ["LABEL", "OfflineModel"]
