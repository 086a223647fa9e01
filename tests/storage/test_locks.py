"""One run of a name at a time, and a killed one in nobody's way."""

import errno
import os
import subprocess
import sys

import pytest
from animatelcm.storage import locks
from animatelcm.storage.locks import HeldError, held

HOLD = "import runpy, sys; from pathlib import Path\n" \
       "with runpy.run_path(sys.argv[1])['held'](Path(sys.argv[2])): print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def holder(tmp_path):
    """Return a process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, locks.__file__, str(tmp_path / "cats.pt")],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline().strip() == b"held"
    yield process
    process.kill()
    process.communicate()


def test_another_process_is_refused_and_told_who_holds_it(tmp_path, holder):
    with pytest.raises(HeldError, match=rf"cats.pt is in use by another run: process {holder.pid} on \S+, since 20"), \
            held(tmp_path / "cats.pt"):
        pass
    with held(tmp_path / "dogs.pt"):
        pass


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    lock = tmp_path / "cats.pt.lock"
    assert lock.is_file()
    with held(tmp_path / "cats.pt"):
        assert lock.read_text().startswith(f"process {os.getpid()} on ")
    assert list(tmp_path.iterdir()) == []


def test_within_one_process_too_and_again_afterwards(tmp_path):
    path = tmp_path / "cats.pt"
    for _ in range(2):
        with held(path), pytest.raises(HeldError), held(path):
            pass
    with pytest.raises(ValueError), held(path):
        raise ValueError
    with held(path):
        pass


def test_a_lock_that_its_holder_removed_meanwhile_is_none(tmp_path, monkeypatch):
    """Who waits to open it may get a file that nobody else will ever see."""
    path, lock_it, calls = tmp_path / "cats.pt", locks._lock, []

    def late(file):
        if not calls:
            (tmp_path / "cats.pt.lock").unlink()
        calls.append(file)
        lock_it(file)

    monkeypatch.setattr(locks, "_lock", late)
    with held(path):
        assert len(calls) == 2 and (tmp_path / "cats.pt.lock").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="there it is another call")
def test_where_the_file_system_has_no_locks_a_run_goes_on_and_other_trouble_is_said(tmp_path, monkeypatch):
    def failing(code):
        def flock(file, operation):
            raise OSError(code, os.strerror(code))
        return flock

    for code in (errno.ENOLCK, errno.ENOTSUP):
        monkeypatch.setattr(locks.fcntl, "flock", failing(code))
        with held(tmp_path / "cats.pt"):
            assert (tmp_path / "cats.pt.lock").is_file()
    monkeypatch.setattr(locks.fcntl, "flock", failing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)) as caught, held(tmp_path / "cats.pt"):
        pass
    assert not isinstance(caught.value, HeldError)


def test_what_a_killed_process_said_of_itself_is_gone_whole(tmp_path):
    lock = tmp_path / "cats.pt.lock"
    lock.write_text("x" * 500)
    with held(tmp_path / "cats.pt"):
        assert "x" * 100 not in lock.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="there nobody can remove a lock that is held")
def test_the_lock_of_a_newcomer_stays(tmp_path, monkeypatch):
    """It comes as soon as the one before has let go."""
    path, close, newcomers = tmp_path / "cats.pt", os.close, []

    def let_go(file):
        close(file)
        if not newcomers:
            newcomers.append(held(path))
            newcomers[0].__enter__()

    with held(path):
        monkeypatch.setattr(locks.os, "close", let_go)
    assert (tmp_path / "cats.pt.lock").is_file()
    with pytest.raises(HeldError), held(path):
        pass
    newcomers[0].__exit__(None, None, None)
