"""The notebooks: each runs from its first cell to its last, and shows what it showed."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import PROJECT

pytestmark = pytest.mark.long

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
# A number that is printed with so many digits that every machine has the same.
ROBUST = re.compile(r"test MSE 0\.\d{4}|\d+ train, \d+ test, \d+ validation, \S+, 10 classes")


def _printed(notebook) -> str:
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return "".join(output["text"] for output in outputs if output.get("name") == "stdout")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_shows_what_it_showed(path, tmp_path, monkeypatch):
    committed = nbformat.read(path, as_version=4)
    nbformat.validate(committed)
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    shown = [output.output_type for cell in code for output in cell.outputs]
    assert "error" not in shown
    assert shown.count("display_data") + shown.count("execute_result") >= 3
    assert "/tmp" not in path.read_text("utf-8")

    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    executed = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": tmp_path}}
    NotebookClient(executed, timeout=600, kernel_name="python3", resources=resources).execute()
    robust = ROBUST.findall(_printed(committed))
    assert robust
    assert ROBUST.findall(_printed(executed)) == robust
