"""The commit that runs and measurements name."""

import subprocess

import pytest

from keras_ae import revision
from keras_ae.errors import BadRequest
from studies.store import CODE, clean_commit


@pytest.fixture
def project(tmp_path):
    """A checkout with one commit, as a function that runs git there and returns what it says."""

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "keras_ae").mkdir()
    (tmp_path / "keras_ae" / "module.py").write_text("first")
    (tmp_path / "studies" / "one").mkdir(parents=True)
    (tmp_path / "studies" / "one" / "study.py").write_text("first")
    (tmp_path / "studies" / "one" / "table.md").write_text("first")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    # What was read once holds for the process; each test is another.
    revision.commit.cache_clear()
    return git


def test_commit_is_the_newest_that_changed_the_package(project, tmp_path):
    first = project("rev-parse", "HEAD")
    (tmp_path / "README.md").write_text("of no concern")
    project("add", ".")
    project("commit", "--quiet", "-m", "second")
    assert revision.commit(tmp_path) == clean_commit(tmp_path) == first
    revision.commit.cache_clear()
    (tmp_path / "keras_ae" / "module.py").write_text("third")
    project("commit", "--quiet", "-a", "-m", "third")
    assert revision.commit(tmp_path) == project("rev-parse", "HEAD") != first


def test_commit_of_measurements_covers_package_and_studies_without_their_pages(project, tmp_path):
    first = project("rev-parse", "HEAD")
    for file in ("table.md", "measurements.json"):
        (tmp_path / "studies" / "one" / file).write_text("of no concern")
    assert clean_commit(tmp_path) == first
    project("add", ".")
    project("commit", "--quiet", "-m", "pages")
    revision.commit.cache_clear()
    assert clean_commit(tmp_path) == first
    (tmp_path / "studies" / "one" / "study.py").write_text("second")
    project("commit", "--quiet", "-a", "-m", "second")
    revision.commit.cache_clear()
    assert clean_commit(tmp_path) == project("rev-parse", "HEAD") != first
    assert revision.commit(tmp_path) == first


@pytest.mark.parametrize(
    "file",
    [
        "keras_ae/module.py",
        "keras_ae/new module.py",
        "studies/one/study.py",
        "studies/new.py",
        "studies/two/study.py",
    ],
)
def test_changes_are_marked_or_refused_and_named(file, project, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("changed")
    head = project("rev-parse", "HEAD")
    assert revision.commit(tmp_path, CODE) == head + "+changes"
    in_package = file.startswith("keras_ae")
    assert revision.commit(tmp_path) == (head + "+changes" if in_package else head)
    with pytest.raises(BadRequest, match=f"received changes in .*{file}"):
        clean_commit(tmp_path)


def test_what_is_no_checkout_has_no_commit(project, tmp_path):
    (tmp_path / "site-packages" / "keras_ae").mkdir(parents=True)
    for place in (tmp_path / "site-packages", tmp_path / "nowhere"):
        assert revision.commit(place) is None
        with pytest.raises(BadRequest, match="expected a git checkout"):
            clean_commit(place)
