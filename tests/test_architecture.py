"""Who may import whom, read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOST = {"comfy", "comfy_api", "comfy_extras", "comfy_execution", "folder_paths", "node_helpers", "nodes", "server"}
"""Top-level modules of ComfyUI."""
MAY_IMPORT = {
    "storage": set(),
    "motion": {"motion", "storage"},
    "samplers": {"samplers"},
    "keyframes": {"keyframes"},
    "training": {"training", "motion", "samplers", "storage"},
    "client": {"client"},
    "host": {"host", "motion", "samplers", "training", "keyframes", "demo", "storage", *HOST},
    "nodes": {"nodes", "host", "motion", "samplers", "training", "keyframes", "comfy_api"},
    # Command lines run the whole pack inside a host.
    "evaluation": {"evaluation", "demo", "host", "samplers", "training", "storage", "comfy"},
    "demo": {"demo", "host", "motion", "samplers", "training", "storage", "comfy"},
}
"""What each package may import of the pack and of the host."""
PURE = {"storage": set(), "motion": {"torch", "einops", "safetensors"}, "samplers": {"torch"}, "keyframes": {"torch"},
        "training": {"torch", "safetensors", "av", "kornia", "tomli"}}
"""The only libraries of the packages that are pure torch."""


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, ours by the folder's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            folder = path.relative_to(ROOT).parts[: -node.level]
            names = [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
            found |= {folder[0]} if folder else set(names)
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_keep_their_directions(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    ours = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    for path in files:
        foreign = imports(path) & (ours | HOST) - MAY_IMPORT[package]
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


@pytest.mark.parametrize("package", PURE)
def test_pure_packages_need_torch_alone(package):
    import sys

    for path in (ROOT / package).rglob("*.py"):
        foreign = imports(path) - PURE[package] - MAY_IMPORT[package] - set(sys.stdlib_module_names)
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


def test_the_pack_never_imports_itself_by_name():
    """The host loads the pack under a name of its own: only relative imports reach it."""
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            assert "animatelcm" not in imports(path), path
