"""Turns the measurements of an evaluation into a web page and into text for a terminal."""

import base64
import html
import itertools
import mimetypes
from collections.abc import Iterator, Mapping
from pathlib import Path

from keras_ae.evaluation.context import Rows
from keras_ae.evaluation.vocabulary import MEASURES, NAMES
from keras_ae.options import STAGES


def text(evaluation: Mapping, stages: tuple[str, ...]) -> str:
    """Returns the first table of each of some stages of an evaluation, and what was skipped."""
    lines = []
    for name in stages:
        section = evaluation["stages"][name]
        for table in list(section["tables"].values())[:1]:
            lines += ["", STAGES[name].title, *_text_table(table["rows"])]
        lines += [
            f"{STAGES[name].title}, skipped: {part}: {reason}"
            for part, reason in section["skipped"].items()
        ]
    return "\n".join(lines)


def _text_table(rows: Rows) -> Iterator[str]:
    columns, cells = _columns(rows)
    table = [
        ["", *(f"{_name(owner)} {MEASURES[key].label}".strip() for key, owner in columns)],
        ["", *(MEASURES[key].unit for key, _ in columns)],
    ]
    table += [[_name(row), *values] for row, values in cells.items()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for first, *others in table:
        padded = [first.ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  " + "  ".join(padded)


def _columns(rows: Rows) -> tuple[list[tuple[str, str]], dict[str, list[str]]]:
    """Returns measure and owner of each column, and the cells of each row."""
    by_column = {
        name: {
            (measure, owner): value
            for measure, values in row.items()
            for owner, value in (values if isinstance(values, Mapping) else {"": values}).items()
        }
        for name, row in rows.items()
    }
    columns = list(dict.fromkeys(column for row in by_column.values() for column in row))
    cells = {
        name: [_format(row.get(column), MEASURES[column[0]].format) for column in columns]
        for name, row in by_column.items()
    }
    return columns, cells


def _format(value, specification: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format(value, specification)


def _name(key: str) -> str:
    return NAMES.get(key, key.replace("_", " "))


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff;
       max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 3rem; border-bottom: 1px solid #d0d7de; }
nav a { margin-right: 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1.5rem 0 0.3rem; font-size: 0.8rem; }
th, td { padding: 0.2rem 0.5rem; text-align: right; border-bottom: 1px solid #e4e8ec;
         font-variant-numeric: tabular-nums; }
th { vertical-align: bottom; } .group { text-align: center; }
th small { display: block; font-weight: normal; color: #57606a; }
th:first-child { text-align: left; font-weight: normal; white-space: nowrap; }
figure { margin: 2rem 0; } img { max-width: 100%; display: block; }
.caption, figcaption { color: #40474f; max-width: 48rem; margin: 0.3rem 0; font-size: 0.92rem; }
.skipped { background: #f6f8fa; border-left: 3px solid #b8c0c8; padding: 0.3rem 0.8rem; }
dt { font-weight: 600; } dd { margin: 0 0 0.4rem 1.5rem; }
"""


def page(evaluation: Mapping, directory: Path) -> str:
    """Returns the report: one HTML page with everything in it, also the figures in `directory`."""
    run, stages = evaluation["run"], evaluation["stages"]
    title = f"Evaluation of {run['recipe']}"
    links = " ".join(f'<a href="#{name}">{_escape(STAGES[name].title)}</a>' for name in stages)
    height, width, channels = run["image_shape"]
    shown = ", ".join(run["classes"][:20]) + (", …" if run["classes"][20:] else "")
    classes = f"{len(run['classes'])} classes: {shown}" if run["classes"] else "no labels"
    facts = (
        f"Recipe: {run['description']}. This run: {run['latent_dim']} latent units, "
        f"{run['parameters']:,} parameters. Trained on {run['train_images']:,} images "
        f"of {run['dataset']} in {run['epochs']} epochs with seed {run['seed']}; measured on "
        f"{run['test_images']:,} test images that training never saw. The images have "
        f"{height}x{width} pixels {'in grey' if channels == 1 else 'in colour'} and "
        f"{classes}."
    )
    body = [
        f"<h1>{_escape(title)}</h1>",
        f"<p>{_escape(facts)}</p>",
        f"<nav>{links} <a href='#glossary'>Glossary</a></nav>",
    ]
    for name, section in stages.items():
        body += _section(name, section, directory)
    body += ['<h2 id="glossary">Glossary</h2>', "<dl>"]
    used = dict.fromkeys(
        key
        for section in stages.values()
        for table in section["tables"].values()
        for row in table["rows"].values()
        for key in row
    )
    for key in used:
        measure = MEASURES[key]
        body.append(
            f"<dt>{_escape(measure.label)} ({_escape(measure.unit)})</dt>"
            f"<dd>{_escape(measure.meaning)}</dd>"
        )
    body.append("</dl>")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _section(name: str, section: Mapping, directory: Path) -> Iterator[str]:
    yield f'<h2 id="{name}">{_escape(STAGES[name].title)}</h2>'
    yield f"<p>{_escape(STAGES[name].introduction)}</p>"
    for table in section["tables"].values():
        yield from _html_table(table["rows"])
        yield f'<p class="caption">{_escape(table["caption"])}</p>'
    for file, caption in section["figures"].items():
        image = base64.b64encode((directory / file).read_bytes()).decode()
        kind, _ = mimetypes.guess_type(file)
        yield (
            f'<figure><img alt="{_escape(file)}" src="data:{kind};base64,{image}">'
            f"<figcaption>{_escape(caption)}</figcaption></figure>"
        )
    for part, reason in section["skipped"].items():
        yield f'<p class="skipped">Skipped, {_escape(part)}: {_escape(reason)}.</p>'


def _html_table(rows: Rows) -> Iterator[str]:
    columns, cells = _columns(rows)
    yield '<div class="scroll"><table><thead><tr><th></th>'
    # Neighbours with the same measure share its name and have a second line for their owners.
    for key, group in itertools.groupby(columns, key=lambda column: column[0]):
        measure, width = MEASURES[key], len(list(group))
        span = f' class="group" colspan="{width}"' if width > 1 else ""
        yield f"<th{span}>{_escape(measure.label)}<small>{_escape(measure.unit)}</small></th>"
    if any(owner for _, owner in columns):
        yield "</tr><tr><th></th>"
        yield from (f"<th><small>{_escape(_name(owner))}</small></th>" for _, owner in columns)
    yield "</tr></thead>"
    for row, values in cells.items():
        data = "".join(f"<td>{_escape(value)}</td>" for value in values)
        yield f"<tr><th>{_escape(_name(row))}</th>{data}</tr>"
    yield "</table></div>"


def _escape(value: str) -> str:
    return html.escape(str(value))
