"""Reports of answers, as `%rlm export` writes them."""

from __future__ import annotations

import pytest

from rlm_notebook.core.events import Finished, NodeCreated, Planned, RunFinished, RunStarted
from rlm_notebook.core.tree import Tree
from rlm_notebook.views.export.report import Report, report_of
from tests.hostile_answers import ANSWERS

__all__ = ["HOSTILE_ANSWERS", "RICH", "report", "tree_of"]

#: Those that take long are tried where long tests run.
HOSTILE_ANSWERS = [pytest.param(each, marks=pytest.mark.long if len(each) > 2_000 else ()) for each in ANSWERS]

#: All that Markdown has.
RICH = r"""# Storage

Lithium *iron* **phosphate** [0.0] is ~~dear~~ cheap, see `x_1 % y` and [a link](https://example.org/a_b?x=1&y=2#z%20).

Inline $E = mc^2$ and $\frac{a}{b}$, and

$$
\int_0^\infty e^{-x^2}\,dx = \frac{\sqrt{\pi}}{2}
$$

| name | cost | note |
|:--|--:|:-:|
| LFP | 100 | *good* [0.1] |
| [x] | -5 | 50 % |

3. three
4. four
   - nested
     - deeper
       1. inner

> A quote
> of two lines

```python
def f(x):
    return {"a": 1}  # \end{verbatim}
*star
```

---

Line one<br>line two. Greek αβγ, arrows → ≤, CJK 日本語, emoji 🧭, Arabic مرحبا بالعالم.
"""


def tree_of(answer: str, parts: dict[str, str] | None = None, status: str = "done") -> Tree:
    """The tree of a run with this answer, whose sub-tasks have these titles and results."""
    tree = Tree()
    tree.apply(RunStarted(at=1.0, run_id="r", task="Weigh [it] & <b>all</b> of 100 %", settings={}))
    tree.apply(NodeCreated(at=1.0, node="0", parent=None, task="Weigh [it] & <b>all</b> of 100 %", agent="llm"))
    tree.apply(Planned(at=1.0, node="0", plan={"decision": "RECURSE"}))
    for at, (title, result) in enumerate((parts or {}).items()):
        tree.apply(NodeCreated(at=1.0, node=f"0.{at}", parent="0", task=title, agent="llm"))
        tree.apply(Planned(at=1.0, node=f"0.{at}", plan={"decision": "EXECUTE"}))
        tree.apply(Finished(at=2.0, node=f"0.{at}", content=result))
    if status == "done":
        tree.apply(Finished(at=3.0, node="0", content=answer))
    tree.apply(RunFinished(at=3.0, status=status))
    return tree


def report(answer: str, parts: dict[str, str] | None = None) -> Report:
    return report_of(tree_of(answer, parts), answer, model="scripted", seconds=1.0)
