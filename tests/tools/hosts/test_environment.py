"""The parts of the set-up that need no network."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from animatelcm.tools.hosts import environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

REQUIREMENTS = "torch\ntorchsde\ntorchvision>=0.20\n torchaudio ; python_version > '3'\nnumpy>=1.25\n\n# torch\n"


def test_only_torchs_own_lines_are_dropped() -> None:
    assert environment.without_torch(REQUIREMENTS).split("\n") == ["torchsde", "numpy>=1.25", "", "# torch", ""]


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    return venv


@pytest.fixture
def host(tmp_path: Path) -> Path:
    host = tmp_path / "host"
    host.mkdir()
    (host / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")
    return host


def test_installing_is_done_once_and_again_after_a_change(
        venv: Path, host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(environment, "_pip", lambda python, arguments: calls.append(arguments))
    python, pack = environment.interpreter(venv), Path(environment.__file__).parents[2]
    environment.install(python, host, pack, "run")
    assert [call[-1] for call in calls] == ["torchvision==0.29.1", str(pack / "requirements.txt"), "torchaudio==2.11.0"]
    environment.install(python, host, pack, "run")
    assert len(calls) == 3
    environment.install(python, host, pack, "test")
    assert len(calls) == 4
    (host / "requirements.txt").write_text("numpy\n", encoding="utf-8")
    environment.install(python, host, pack, "test")
    assert len(calls) == 7


def test_failed_installing_is_not_taken_for_done(venv: Path, host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(python: Path, arguments: list[str]) -> None:
        raise environment.SetupError("no network")

    monkeypatch.setattr(environment, "_pip", fail)
    with pytest.raises(environment.SetupError):
        environment.install(environment.interpreter(venv), host, host, "test")
    assert not list(venv.glob("installed-*"))


def test_layer_sees_what_is_below(tmp_path: Path, venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above = tmp_path / "above"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(above)], check=True)
    show = "import sysconfig; print(sysconfig.get_path('purelib'))"
    python = environment.interpreter(venv)
    packages = subprocess.run([str(python), "-c", show], capture_output=True, text=True, check=True).stdout.strip()
    Path(packages, "only_below.py").write_text("value = 3\n", encoding="utf-8")
    monkeypatch.setattr(environment, "make_venv", environment.interpreter)
    layer = environment.layer_on(above, venv)
    seen = subprocess.run([str(layer), "-c", "import only_below; print(only_below.value)"], capture_output=True,
                          text=True, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"})
    assert seen.stdout.strip() == "3", seen.stderr


def test_work_folder_is_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANIMATELCM_WORK", raising=False)
    assert environment.work_path() == environment.ROOT / ".dev"
    assert environment.output_path() == environment.ROOT / "output"
    monkeypatch.setenv("ANIMATELCM_WORK", str(tmp_path / "new" / "work"))
    with environment.work_folder() as folder:
        assert folder == tmp_path / "new" / "work"
        assert folder.is_dir()
    assert environment.output_path() == folder / "output"


@pytest.mark.parametrize(("modules", "advice"), [((), "free disk space"), (("ensurepip",), "apt install python3-venv")])
def test_a_failed_environment_gets_the_advice_that_fits(
        modules: tuple[str, ...], advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = environment.importlib.util.find_spec
    monkeypatch.setattr(environment.importlib.util, "find_spec",
                        lambda name: None if name in modules else find_spec(name))
    (tmp_path / "file").touch()
    with pytest.raises(environment.SetupError, match=advice):
        environment.make_venv(tmp_path / "file" / "venv")


def test_python_without_the_packages_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "RUN_MODULES", ("there_is_no_such_module",))
    assert environment.find_python(tmp_path / "host", "run") is None
    monkeypatch.setattr(environment, "RUN_MODULES", ("json",))
    assert environment.find_python(tmp_path / "host", "run") == Path(sys.executable)


PINS = [Requirement(pin) for pin in (*environment.TORCH, environment.TORCHAUDIO, *environment.CONSTRAINTS,
                                     *(pin for packages, _ in environment.PURPOSES.values() for pin in packages))]


@pytest.mark.parametrize("pin", PINS, ids=str)
def test_a_pin_is_for_all_supported_pythons_or_says_for_which(pin: Requirement) -> None:
    """Asked of the packages that are installed, which are those of this Python."""
    if pin.marker is not None and not pin.marker.evaluate():
        pytest.skip("for another Python")
    try:
        installed = metadata.metadata(pin.name)
    except metadata.PackageNotFoundError:
        pytest.skip("of another purpose")
    if installed["Version"].partition("+")[0] not in pin.specifier:
        pytest.skip("another version is installed")
    oldest = "3.10"
    if not SpecifierSet(installed["Requires-Python"] or "").contains(oldest):
        assert pin.marker is not None and not pin.marker.evaluate({"python_version": oldest})


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_what_the_tests_import_is_installed_on_every_python(python: str) -> None:
    packages, modules = environment.PURPOSES["test"]
    pins = [Requirement(pin) for pin in packages]
    chosen = [pin.name for pin in pins if pin.marker is None or pin.marker.evaluate({"python_version": python})]
    assert sorted(chosen) == sorted(modules)
