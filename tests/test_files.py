"""Readers and killed writers never meet half a file."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_ae import files
from keras_ae.errors import BadRequest

# Writes a file and a directory over and over, each time with one number throughout.
WRITER = """
import itertools, sys
from pathlib import Path
from keras_ae import files
place = Path(sys.argv[1])
files.clear_up(place)
for number in itertools.count():
    files.write_json(place / "file.json", [number] * 20_000)
    with files.replacing(place / "directory") as draft:
        draft.mkdir()
        for name in "abcdefgh":
            (draft / name).write_text(str(number) * 2_000)
    print(number, flush=True)
"""


def _check_whole(place) -> bool:
    """Checks what there is; returns whether the directory was there, too."""
    assert len(set(json.loads((place / "file.json").read_text()))) == 1
    try:
        # An open directory stays the same one, whatever takes its name.
        directory = os.open(place / "directory", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        contents = set()
        for name in os.listdir(directory):  # noqa: PTH208, a path would be looked up anew
            with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=directory)) as file:
                contents.add(file.read())
    except FileNotFoundError:
        return False  # Replaced and removed while it was read.
    finally:
        os.close(directory)
    assert len(contents) <= 1
    return True


def _start(place) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, place]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def test_reader_meets_whole_files_only(tmp_path):
    writer = _start(tmp_path)
    met = sum(_check_whole(tmp_path) for _ in range(300))
    assert writer.poll() is None
    writer.kill()
    writer.communicate()
    assert met > 0


def test_kill_leaves_whole_files_and_the_next_start_clears_up(tmp_path):
    moments = random.Random(0)
    rounds = left_behind = 0
    # On a busy machine the writer may sleep at most of these moments.
    while rounds < 20 or (left_behind == 0 and rounds < 200):
        rounds += 1
        writer = _start(tmp_path)
        time.sleep(moments.uniform(0, 0.03))
        writer.kill()
        writer.communicate()
        left_behind += len(list(tmp_path.glob(".*")))
        files.clear_up(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"file.json", "directory"}
        assert _check_whole(tmp_path)
        assert len(list((tmp_path / "directory").iterdir())) == 8
    assert left_behind > 0


def test_block_that_raises_changes_nothing(tmp_path):
    def fail(target):
        with files.replacing(target) as draft:
            draft.mkdir()
            (draft / "half").touch()
            raise RuntimeError

    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").touch()
    with pytest.raises(RuntimeError):
        fail(tmp_path / "target")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "target",
        "target/old",
    ]


def test_clearing_up_spares_the_drafts_of_other_living_processes(tmp_path):
    living = tmp_path / f".{os.getppid()}-file.json"
    living.touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / ".99999999999999999999-file.json").touch()
    files.clear_up(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([living.name, ".hidden"])


@pytest.fixture
def synced(monkeypatch, tmp_path):
    """Lists what is brought to the disk, with the names that lie in `tmp_path/new` then."""
    calls, fsync = [], os.fsync

    def recording(descriptor):
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path)
        names = sorted(path.name for path in (tmp_path / "new").glob("*"))
        calls.append((path.as_posix(), names))

    monkeypatch.setattr(os, "fsync", recording)
    return calls


def test_a_file_is_on_the_disk_before_its_name_and_its_name_at_the_end(synced, tmp_path):
    files.write_text(tmp_path / "new" / "file", "content")
    draft = f".{os.getpid()}-file"
    assert synced == [(".", []), (f"new/{draft}", [draft]), ("new", ["file"])]


def test_a_directory_is_on_the_disk_with_all_that_it_holds(synced, tmp_path):
    draft = f".{os.getpid()}-directory"
    for _ in range(2):  # The second replaces the first.
        del synced[:]
        with files.replacing(tmp_path / "new" / "directory") as path:
            (path / "inner").mkdir(parents=True)
            (path / "inner" / "file").write_text("content")
        inside = [path for path, names in synced if draft in names]
        assert sorted(inside) == [f"new/{draft}{name}" for name in ("", "/inner", "/inner/file")]
        assert synced[-1][0] == "new"
        assert "directory" in synced[-1][1]


def test_checks_of_names_leave_nothing(tmp_path):
    for name in ("x" * 300, "new/" + "x" * 300, "a\0b"):
        with pytest.raises(BadRequest, match="a directory that can be written") as caught:
            files.check_writable(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert "\0" not in str(caught.value)
    files.check_writable(tmp_path / "new" / "newer")
    assert list(tmp_path.iterdir()) == []


def test_clearing_up_leaves_what_is_not_ours(tmp_path):
    for name in (".99999999-file.json", ".2024-notes.md"):
        (tmp_path / name).touch()
    files.clear_up(tmp_path, lambda path: path.suffix == ".json")
    assert [path.name for path in tmp_path.iterdir()] == [".2024-notes.md"]


def test_locks_follow_no_link(tmp_path):
    (tmp_path / "lock").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic links"), files.locked(tmp_path / "lock"):
        pass
    assert not (tmp_path / "precious").exists()
