"""`%rlm export`: writes a run to a file, as a document of its answer or as data. What a format cannot hold is said."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path

from ...checkpoints.document import document_of
from ...checkpoints.location import rows_name
from ...core.redaction import store_of
from ...core.text import counted
from ...exceptions import ConfigurationError
from ...experiments.experiment import Experiment
from ...experiments.recorded import RecordedExperiment
from ...experiments.study import Study
from ...host.console import say
from ...runtime.run_view import RunView
from ...views.export.report import Report
from ..cell.line_parser import LineParser
from ..display.report import report_of_run
from ..kernel.session import Session
from .experiment_lookup import experiment_named
from .registry import Argument, Command
from .run_lookup import run_named, runs_kept

__all__ = ["EXPORT"]

#: Seconds that pandoc may take.
PATIENCE = 60

#: The content of a file, and remarks about it.
Written = tuple[bytes, list[str]]


def _export(session: Session, options: argparse.Namespace) -> None:
    forms = (*_FORMS, *_TABLES)
    form, path = next((form, getattr(options, form)) for form in forms if getattr(options, form) is not None)
    if (rows := experiment_named(session, options.name)) is not None:
        _export_rows(rows, options.name, form, path)
        return
    if form in _TABLES:
        raise ConfigurationError(f"{options.name} is a run, and --{form} writes the rows of experiments; give --json")
    run = run_named(session, options.name)
    suffix, _ = _FORMS[form]
    target = Path(path or Path(options.name).stem + suffix).expanduser().absolute()
    if target in runs_kept(session) or str(target) == run.checkpoint:
        raise ConfigurationError(f"{target} is where a run is kept; export to another path")
    if form in _DOCUMENTS and not run.internals.live and store_of(run.internals.snapshot()) == "hashes":
        raise ConfigurationError(
            f"{options.name} was recorded with --store hashes, so its texts are not in its file; run its cell with "
            "--store outputs or full, then export it"
        )
    data, remarks = _written(run, form)
    try:
        target.write_bytes(data)
    except OSError as error:
        raise ConfigurationError(f"cannot write {target}: {error.strerror or error}; choose another path") from None
    say(f"rlm: {options.name} is written to {target} ({max(1, len(data) >> 10)} KB)")
    for remark in remarks:
        say(f"rlm: {remark}")


def _export_rows(rows: Experiment | Study | RecordedExperiment, name: str, form: str, path: str) -> None:
    """The rows of an experiment as a table."""
    suffix = _TABLES.get(form)
    if suffix is None:
        listed = ", ".join(f"--{each}" for each in _TABLES)
        raise ConfigurationError(
            f"{name} is an experiment, and its rows are written as a table: {listed}; "
            f"export one of its runs with `%rlm show {name}` and .run(0).to_html(PATH)"
        )
    target = Path(path or rows_name(Path(name)) + suffix).expanduser().absolute()
    if str(target) == rows.checkpoint:
        raise ConfigurationError(f"{target} is where the rows are kept; export to another path")
    try:
        rows.write(target.with_suffix(suffix) if not target.suffix else target)
    except OSError as error:
        raise ConfigurationError(f"cannot write {target}: {error.strerror or error}; choose another path") from None
    count = len(rows.frame) if isinstance(rows, Study) else len(rows)
    say(f"rlm: the {counted(count, f'row of {name} is', f'rows of {name} are')} written to {target}")
    if isinstance(rows, RecordedExperiment):
        say(
            "rlm: they are in the order in which they were recorded, without the columns of their table; execute the "
            "cell of the experiment, which calls no model for them, to export them with these"
        )


# -- the formats ---------------------------------------------------------------------------------------------------


def _written(run: RunView, form: str) -> Written:
    match form:
        case "md":
            from ...views.export.markdown import markdown_of

            return markdown_of(report_of_run(run)).encode(), []
        case "html":
            return run.to_html().encode(), []
        case "tex":
            return _latex(run)
        case "docx":
            return _word(run)
        case "mermaid":
            return run.to_mermaid().encode(), []
    return (json.dumps(document_of(run.internals.snapshot()), ensure_ascii=False, indent=1) + "\n").encode(), []


def _latex(run: RunView) -> Written:
    from ...views.export.latex import foreign_letters, latex_of
    from ...views.export.tex import formula_of

    report = report_of_run(run)
    text = latex_of(report)
    refused = [each.tex for each in report.formulas if formula_of(each) is None]
    remarks = []
    if refused:
        example = " ".join(refused[0].split())[:60]
        remarks.append(f"{_formulas(len(refused))} written as text, because LaTeX may not accept it: {example}")
    if letters := foreign_letters(text):
        example = "".join(sorted(letters)[:8])
        remarks.append(f"some letters ({example}) need LuaLaTeX or XeLaTeX and a font that has them")
    return text.encode(), remarks


def _word(run: RunView) -> Written:
    from ...views.export.word import word_of

    report = report_of_run(run)
    if not report.formulas:
        return word_of(report), []
    count = _formulas(len(report.formulas))
    program = shutil.which("pandoc")
    if program is None:
        return word_of(report), [f"{count} written as TeX; with pandoc on the PATH, they become equations of Word"]
    try:
        return _with_equations(program, report), [f"{count} written as equations, by pandoc"]
    except (OSError, subprocess.SubprocessError) as error:
        return word_of(report), [f"{count} written as TeX, because pandoc failed: {error}"]


def _with_equations(program: str, report: Report) -> bytes:
    """The Word file as pandoc writes it, from HTML that has been through the gate: it names no file and no image."""
    from ...views.export.html import report_html

    page = f"<!doctype html><html><body>{report_html(report, typeset=True)}</body></html>"
    command = [program, "--from=html+tex_math_dollars", "--to=docx", "--output=-"]
    done = subprocess.run(command, input=page.encode(), capture_output=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise subprocess.SubprocessError(done.stderr.decode(errors="replace").strip()[:200] or "no reason given")
    return done.stdout


def _formulas(count: int) -> str:
    return f"{count} {'formula is' if count == 1 else 'formulas are'}"


#: The formats of runs: the endings of their files, and what they are.
_FORMS = {
    "md": (".md", "the answer and the nodes that it cites, as Markdown"),
    "html": (".html", "one interactive page with the answer, the tree and all details"),
    "tex": (".tex", "the answer and the nodes that it cites, as LaTeX"),
    "docx": (".docx", "the answer and the nodes that it cites, for Word"),
    "json": (".export.json", "the run as data"),
    "mermaid": (".mmd", "the tree as a flowchart"),
}
#: The formats of experiments, and the endings of their files.
_TABLES = {"csv": ".csv", "jsonl": ".jsonl", "parquet": ".parquet"}
_DOCUMENTS = ("md", "tex", "docx")


def _options(parser: LineParser) -> None:
    form = parser.add_mutually_exclusive_group(required=True)
    for name, (suffix, what) in _FORMS.items():
        description = f"{what}; default: NAME{suffix} in the working directory"
        form.add_argument(f"--{name}", nargs="?", const="", metavar="PATH", help=description)
    for name, suffix in _TABLES.items():
        description = f"the rows of an experiment; default: NAME{suffix} in the working directory"
        form.add_argument(f"--{name}", nargs="?", const="", metavar="PATH", help=description)


EXPORT = Command(
    "write a run to a file: Markdown, an HTML page, LaTeX, Word, JSON or a flowchart",
    _export,
    Argument("name", "the run", metavar="RUN"),
    options=_options,
)
