"""Shows an experiment in a notebook: as the widget with its static copy, as the copy alone, or as text."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ...core.error_text import described
from ...experiments.display import html_of
from ...experiments.experiment import Experiment
from ...experiments.live_study import StudyRows
from ...experiments.study import Study
from ...host.console import say

__all__ = ["show_rows"]

log = logging.getLogger("rlm_notebook")


def show_rows(experiment: Experiment | Study, kind: str) -> Callable[[], None]:
    """Show it as "widget", "static" or "text"; what is returned brings the static copy up to date.

    The copy is for readers without a kernel: the widget hides it. A view never fails an experiment.
    """
    from IPython.display import HTML, display

    show: Any = display
    page: Any = HTML
    if kind not in ("widget", "static"):
        say(experiment if kind == "text" else repr(experiment))
        return lambda: None
    mark = ""
    if kind == "widget":
        try:
            from ..widget.rows_view import RowsView

            view = RowsView(StudyRows(experiment) if isinstance(experiment, Study) else experiment)
            bundle: Any = view.box._repr_mimebundle_()
            data: dict[str, Any] = bundle[0] if isinstance(bundle, tuple) else bundle
            # Without a text form: where the widget cannot be shown, the copy below it is.
            show({**data, "text/plain": ""}, raw=True)
            mark = view.id
        except Exception as error:
            log.warning("an experiment cannot be shown as a widget: %s", described(error), exc_info=True)
    copy = show(page(_copy_of(experiment, mark)), display_id=True)
    return lambda: copy.update(page(_copy_of(experiment, mark)))


def _copy_of(experiment: Experiment | Study, mark: str) -> str:
    shown = experiment._repr_html_() if isinstance(experiment, Study) else html_of(experiment)
    return f'<div data-rlm-experiment="{mark}">{shown}</div>'
