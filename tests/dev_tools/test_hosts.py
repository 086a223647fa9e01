"""Archives are unpacked when they are the pinned ones, all or nothing."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from animatelcm.dev_tools.hosts import REFERENCE, RELEASES, HostError, obtain, unpack, version_of

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


def test_another_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "hosts" / "1.2.3"
    with pytest.raises(HostError, match=f"SHA-256 .*expected {'0' * 64}.*nothing was unpacked"):
        unpack(archive, "0" * 64, target)
    assert not target.parent.exists()


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
