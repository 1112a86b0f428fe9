"""The commit that records of trainings name."""

import subprocess

import pytest

from keras_ae import revision
from keras_ae.errors import BadRequest


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
    assert revision.commit(tmp_path) == revision.clean_commit(tmp_path) == first
    revision.commit.cache_clear()
    (tmp_path / "keras_ae" / "module.py").write_text("third")
    project("commit", "--quiet", "-a", "-m", "third")
    assert revision.commit(tmp_path) == project("rev-parse", "HEAD") != first


@pytest.mark.parametrize("file", ["module.py", "new module.py"])
def test_changes_are_marked_or_refused_and_named(file, project, tmp_path):
    (tmp_path / "keras_ae" / file).write_text("changed")
    assert revision.commit(tmp_path) == project("rev-parse", "HEAD") + "+changes"
    with pytest.raises(BadRequest, match=f"received changes in .*keras_ae/{file}"):
        revision.clean_commit(tmp_path)


def test_what_is_no_checkout_has_no_commit(project, tmp_path):
    (tmp_path / "site-packages" / "keras_ae").mkdir(parents=True)
    for place in (tmp_path / "site-packages", tmp_path / "nowhere"):
        assert revision.commit(place) is None
        with pytest.raises(BadRequest, match="expected a git checkout"):
            revision.clean_commit(place)
