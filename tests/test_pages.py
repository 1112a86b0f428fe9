"""What the pages say of the project is so: names, links, commands, tables."""

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from benchmarks import tables
from keras_ae import recipes
from keras_ae.commands import evaluate, train
from keras_ae.export import SIGNATURES
from tests.conftest import PROJECT

README = (PROJECT / "README.md").read_text("utf-8")
README_LINES = 245


def tracked() -> list[Path]:
    """Returns the files that git tracks."""
    command = ["git", "ls-files", "-z"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return [path for name in done.stdout.split("\0")[:-1] if (path := PROJECT / name).is_file()]


TRACKED = tracked()
PAGES = {
    path.relative_to(PROJECT).as_posix(): path.read_text("utf-8")
    for path in TRACKED
    if path.suffix == ".md"
}
# The changelog also names what is gone.
GUIDES = {name: page for name, page in PAGES.items() if name != "CHANGELOG.md"}


def section(page: str, heading: str) -> str:
    """Returns what stands below a heading of the second level."""
    return re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)[1]


def commands(page: str) -> list[str]:
    """Returns the shell commands of a page's blocks, one for each line or part of one."""
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [part.strip() for line in lines for part in line.split("&&") if part.strip()]


def inline_commands(page: str) -> list[str]:
    """Returns the calls of Python that stand in backticks in a page's sentences."""
    without_blocks = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`(python (?:-m )?[a-z][^`]*)`", without_blocks)


# --- README ---


def test_readme_is_short():
    assert len(README.splitlines()) <= README_LINES


def test_map_names_every_module_and_folder():
    named = {
        folder: re.findall(r"`(\w+\.py)`", cell)
        for folder, cell in re.findall(r"^\| `(\S+)/` \| (.*) \|$", section(README, "Map"), re.M)
    }
    parts = [path.relative_to(PROJECT) for path in TRACKED]
    modules = {}
    for part in parts:
        if part.parts[0] == "keras_ae" and part.suffix == ".py" and part.name != "__init__.py":
            modules.setdefault(part.parent.as_posix(), []).append(part.name)
    assert {folder: sorted(names) for folder, names in named.items() if names} == {
        folder: sorted(names) for folder, names in modules.items()
    }
    folders = {part.parts[0] for part in parts if len(part.parts) > 1}
    assert {folder for folder in named if "/" not in folder} == {
        folder for folder in folders if not folder.startswith(".")
    }


def test_first_line_of_each_set_up_works_alone():
    for heading in ("Train", "Tests"):
        first = re.search(r"^```sh\n(.*?)^```", section(README, heading), re.DOTALL | re.M)[1]
        assert first.count("\n") == 1
        assert first.startswith("python3 -m venv .venv && .venv/bin/pip install ")
        assert " && .venv/bin/python " in first


def test_table_of_signatures_is_that_of_the_code():
    rows = re.findall(r"^\| (`.*) \|$", section(README, "Use in TensorFlow"), re.MULTILINE)
    stated = []
    for row in rows:
        names, takes, gives, models, in_litert = row.split(" | ")
        cells = [tuple(re.findall(r"`(\w+)`", cell)) for cell in (names, takes, gives)]
        stated.append((*cells, models == "variational", in_litert == "yes"))
    assert stated == [
        (
            (*(() if position else ("serving_default",)), one.name),
            one.takes,
            one.gives,
            one.variational_only,
            one.in_litert,
        )
        for position, one in enumerate(SIGNATURES)
    ]


# --- all pages ---


def anchors(page: str) -> set[str]:
    """Returns the anchors that GitHub makes of a page's headings."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", page, re.MULTILINE):
        words = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    text = re.sub(r"^```.*?^```", "", PAGES[name], flags=re.DOTALL | re.MULTILINE)
    directory = (PROJECT / name).parent
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (directory / path).resolve() if path else PROJECT / name
        assert target.exists(), link
        # Not only here: in every clone.
        assert any(file == target or target in file.parents for file in TRACKED), link
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), link


@pytest.mark.parametrize("name", GUIDES)
def test_commands_name_what_exists(name):
    page = GUIDES[name]
    for command in commands(page) + inline_commands(page):
        words = shlex.split(command, comments=True)
        while words and "=" in words[0]:
            words.pop(0)
        if not words or Path(words[0]).name not in ("python", "python3"):
            continue
        if words[1] == "-m":
            assert importlib.util.find_spec(words[2]), command
            arguments = words[3:]
        else:
            assert (PROJECT / words[1]).is_file(), command
            arguments = words[2:]
        for word in arguments:
            if re.match(r"(tests|studies|benchmarks|examples|saved_models/pretrained)/", word):
                assert (PROJECT / word).exists(), command


def calls_of_scripts() -> list[str]:
    """Returns the calls of `train.py` and `evaluate.py` on all pages, without patterns of calls."""
    found = {call for page in GUIDES.values() for call in commands(page) + inline_commands(page)}
    placeholders = {"RECIPE", "...", "--help"}
    return sorted(
        call
        for call in found
        if re.search(r"python (train|evaluate)\.py ", call) and not placeholders & set(call.split())
    )


@pytest.mark.parametrize("call", calls_of_scripts())
def test_flags_and_recipes_of_the_pages_exist(call):
    script, *arguments = shlex.split(call)[1:]
    parser = {"train.py": train, "evaluate.py": evaluate}[script]._parser()
    # Both refuse what they do not know.
    options = vars(parser.parse_args(arguments))
    if script == "train.py":
        recipes.get(options.get("recipe") or recipes.DEFAULT_RECIPE)


def test_tables_of_the_benchmarks_are_those_of_their_results():
    page = PAGES["benchmarks/README.md"]
    assert tables.filled(page) == page
    assert tables.filled_project_page(README) == README


def test_files_that_contributors_are_sent_to_exist():
    for name in re.findall(r"`([\w./]+/[\w./]*)`", PAGES["CONTRIBUTING.md"]):
        if "NAME" not in name:
            assert (PROJECT / name).exists(), name


def test_no_text_names_a_place_on_one_machine():
    # Not spelled out, or this file would name them.
    places = [f"/{name}/" for name in ("home", "root", "tmp", "Users", "work", "mnt")]
    foreign = PROJECT / "keras_ae/explorer/page/litert"  # Released files of others, unchanged.
    for path in TRACKED:
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        if path.is_relative_to(foreign):
            continue
        for place in places:
            assert not re.search(rf"(?<![\w.*]){place}", text), f"{path}: {place}"
