"""Who may import whom, read from the source of the whole tree."""

import ast
import re
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOST = {"comfy", "comfy_api", "comfy_extras", "comfy_execution", "folder_paths", "latent_preview", "node_helpers",
        "nodes", "server"}
"""Top-level modules of ComfyUI."""
ENGINE = {"motion", "samplers", "keyframes", "training", "storage"}
BELOW_TOOLS = {*ENGINE, "demo", "host", "host/training", "client"}
MAY_IMPORT = {
    "storage": set(),
    "motion": {"storage"},
    "samplers": set(),
    "keyframes": set(),
    "client": set(),
    "client/batches": {"client"},
    "migration": set(),
    "training": {"motion", "samplers", "storage"},
    "demo": {"motion", "training"},
    "host": {*ENGINE, "demo", "migration"},
    "host/training": {*ENGINE, "demo", "host"},
    "nodes": {*ENGINE, "demo", "host", "host/training"},
    "tools": set(),
    "tools/hosts": {"client"},
    "tools/benchmarks": BELOW_TOOLS,
    "tools/workflows": {*BELOW_TOOLS, "tools", "tools/hosts", "tools/benchmarks", "nodes"},
    "tools/demo": BELOW_TOOLS,
    "tools/evaluation": {*BELOW_TOOLS, "tools", "tools/demo"},
    "__init__.py": {"host", "nodes"},
    "standalone.py": set(),
    "batch.py": {"client", "client/batches", "storage"},
    "migrate.py": {"client", "migration"},
    "train.py": {"standalone.py", "training", "host/training"},
    "dev.py": {"client", "tools/hosts", "migrate.py"},
}
"""{room: the other rooms that it may import}; a room is a folder or, at the top, a script."""
MAY_IMPORT_COMFYUI = {"demo", "host", "host/training", "nodes", "tools/benchmarks", "tools/demo", "tools/evaluation",
                      "__init__.py", "standalone.py", "train.py"}
LIBRARIES = {
    "storage": set(),
    "motion": {"torch", "einops", "safetensors"},
    "samplers": {"torch"},
    "keyframes": {"torch"},
    "training": {"torch", "safetensors", "av", "kornia", "tomli"},
    "client": {"aiohttp"},
    "client/batches": {"tqdm", "ray"},
    "migration": set(),
    "tools/hosts": {"pip"},
    "batch.py": set(),
    "migrate.py": set(),
    "dev.py": set(),
}
"""The only libraries of the rooms that need to run with little else, beside Python's own."""


def files_of(room: str) -> list[Path]:
    """Return the files of a room, those of the rooms within it left out."""
    path = ROOT / room
    if path.is_file():
        return [path]
    inner = {ROOT / other for other in MAY_IMPORT if other.startswith(f"{room}/")}
    return [file for file in path.rglob("*.py") if not inner & set(file.parents)]


def room_of(module: list[str]) -> str | None:
    """Return the room of a module of ours, given its path from the root; None for one of somebody else's."""
    if not module:
        return None
    candidates = ("/".join(module[:2]), module[0], f"{module[0]}.py")
    return next((name for name in candidates if name in MAY_IMPORT), None)


@cache
def imports(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return the rooms and the other top-level modules that a file imports."""
    rooms, others = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(path.relative_to(ROOT).parts[: -node.level]) if node.level else []
            base += node.module.split(".") if node.module else []
            # What is imported from a package may be one of its modules.
            modules = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for module in modules:
            own = isinstance(node, ast.ImportFrom) and node.level > 0
            if module[0] == "animatelcm":
                module, own = module[1:], True
            # Scripts have the root on their path, and there `nodes` is not the host's.
            room = room_of(module) if own or (path.parent == ROOT and module[0] not in HOST) else None
            if room is None:
                others.add(module[0])
            else:
                rooms.add(room)
    return frozenset(rooms), frozenset(others)


def arrows() -> dict[str, set[str]]:
    """Return {room: the other rooms that it imports}."""
    return {room: {other for file in files_of(room) for other in imports(file)[0]} - {room} for room in MAY_IMPORT}


def test_every_folder_with_code_is_a_room():
    code = {file.relative_to(ROOT).parts[0] for file in ROOT.glob("*/**/*.py")
            if not file.relative_to(ROOT).parts[0].startswith(".")} - {"tests", "output"}
    scripts = {file.name for file in ROOT.glob("*.py")}
    assert code | scripts == {room.split("/")[0] for room in MAY_IMPORT}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_what_they_may(room):
    assert files_of(room)
    for file in files_of(room):
        foreign = imports(file)[0] - {room} - MAY_IMPORT[room]
        assert not foreign, f"{file.relative_to(ROOT)} imports {sorted(foreign)}"


def drawn() -> dict[str, set[str]]:
    """Return {room: the rooms that its arrows lead to} of the diagram in docs/architecture.md."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    diagram = page.partition("```mermaid")[2].partition("```")[0]
    names = dict(re.findall(r'(\w+)\["([^"]+)"\]', diagram))
    found: dict[str, set[str]] = {}
    for line in re.sub(r'\["[^"]+"\]', "", diagram).splitlines():
        source, _, targets = line.strip().partition(" --> ")
        if targets:
            found.setdefault(names.get(source, source), set()).update(names.get(t, t) for t in targets.split(" & "))
    return found


def reached(graph: dict[str, set[str]], room: str) -> set[str]:
    """Return the rooms to which arrows lead from a room, over others too."""
    return {far for near in graph.get(room, ()) for far in (near, *reached(graph, near))}


def test_the_diagram_shows_what_is_imported():
    """Each of its arrows is an import. Imports that follow from other arrows may be left out, no others."""
    graph = arrows()
    assert {room for room, targets in drawn().items() if targets - graph.get(room, set())} == set()
    for room in MAY_IMPORT:
        assert reached(drawn(), room) == reached(graph, room), room


def test_the_page_names_every_room():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [room for room in MAY_IMPORT if room not in page] == []


def test_no_arrow_runs_up():
    """Rooms can be put on floors so that each imports only from floors below; a circle raises CycleError."""
    assert list(TopologicalSorter(arrows()).static_order())


@pytest.mark.parametrize("room", sorted(MAY_IMPORT.keys() - MAY_IMPORT_COMFYUI))
def test_who_may_import_comfyui(room):
    for file in files_of(room):
        foreign = imports(file)[1] & HOST
        assert not foreign, f"{file.relative_to(ROOT)} imports {sorted(foreign)}"


def test_nodes_reach_comfyui_through_its_public_interface_alone():
    for file in files_of("nodes"):
        foreign = imports(file)[1] & HOST - {"comfy_api"}
        assert not foreign, f"{file.relative_to(ROOT)} imports {sorted(foreign)}"


@pytest.mark.parametrize("room", LIBRARIES)
def test_rooms_that_run_with_little_else(room):
    for file in files_of(room):
        foreign = imports(file)[1] - LIBRARIES[room] - set(sys.stdlib_module_names)
        assert not foreign, f"{file.relative_to(ROOT)} imports {sorted(foreign)}"


def test_the_pack_never_imports_itself_by_name():
    """The host loads the pack under a name of its own: only relative imports reach it."""
    for room in MAY_IMPORT.keys() - {"train.py"}:
        for file in files_of(room):
            assert "animatelcm" not in imported_names(file), file


def imported_names(path: Path) -> set[str]:
    """Return the first word of every absolute import."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return ({alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
            | {node.module.split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom) and not node.level})
