"""Everything that a developer or a curious newcomer runs. Needs Python 3.10 or newer, nothing else.

    python dev.py demo ["a cat running left"]          make a short video with the embedded demo model
    python dev.py migrate OLD_GRAPH.json               make a graph of other AnimateDiff packs into one of this pack
    python dev.py serve                                ComfyUI with this pack, for the browser
    python dev.py test                                 all tests, and those of the host on two older hosts as well
    python dev.py test PYTEST_ARGUMENT ...             the tests that pytest is told to run, on one host
    python dev.py browser                              open and run the example workflow in headless Chromium
    python dev.py converters                           compare the editor's prompts of its templates with ours
    python dev.py bench                                the benchmarks; --table: row by row, for a GPU
    python dev.py parity [--full]                      compare whole runs with diffusers, tiny or at full size
    python dev.py parity-image-to-video [--full]       the same for image to video
    python dev.py full-size                            the example workflow with random weights of the real size
    python dev.py gallery [NAME ...]                   run every example workflow, and keep a picture of each
    python dev.py first-graph                          take the pictures of docs/first-graph.md
    python dev.py help-pictures [NODE ...]             take the pictures of the help pages
    python dev.py locales                              what the translations of the nodes' texts and pages lack
    python dev.py obedience                            how well the demo model follows its prompts
    python dev.py demo-pictures                        what the demo model makes of some prompts, beside the world
    python dev.py paper-table                          the paper's table in miniature, on the demo model
    python dev.py long-video-table                     Long Video and the Rolling Sampler, on the demo model
    python dev.py recording-memory                     the memory of Record Video at different lengths
    python dev.py training-memory                      what training needs at full size, against the estimate
    python dev.py train-demo                           train the demo model anew, and distil it

All take these options:
    --host PATH          a ComfyUI folder of your own (or set COMFYUI_PATH); else a pinned one is fetched
    --host-version X     another pinned ComfyUI: 0.30.0 (the default), 0.27.0 or 0.24.1; the pack refuses 0.18.2, 0.16.3
    --python PATH        the Python of your own ComfyUI, if it is not found by itself
    --work PATH          where downloads and environments go (or set ANIMATELCM_WORK); else the folder .dev in here
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 10):  # noqa: UP036 - an older Python comes this far, and should say what is wrong
    sys.exit(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}")

from client.api import ComfyClient, RunError, saved_files
from client.console import StatusLine, print_everything
from client.workflow import WorkflowError, load, set_seed, set_text, to_prompt, with_values
from migrate import main as migrate
from tools.hosts import environment, hosts, suite
from tools.hosts.processes import start, stop, stop_command, stop_on_signals
from tools.hosts.server import PACK_NAME, Host, Server, ServerError, arguments, make_base

ROOT = Path(__file__).resolve().parent
DEMO_WORKFLOW = ROOT / "example_workflows" / "03 Text to Video Demo.json"
INPUTS = ROOT / "example_workflows" / "input"
MODULES = {
    "browser": ("browser", "tools.workflows.browser_check"),
    "converters": ("browser", "tools.workflows.converters"),
    "bench": ("run", "tools.benchmarks.bench"),
    "parity": ("test", "tools.benchmarks.parity"),
    "parity-image-to-video": ("test", "tools.benchmarks.parity_image_to_video"),
    "first-graph": ("browser", "tools.workflows.first_graph"),
    "help-pictures": ("browser", "tools.workflows.help_pictures"),
    "full-size": ("run", "tools.workflows.full_size"),
    "gallery": ("run", "tools.workflows.gallery"),
    "locales": ("run", "tools.workflows.locales"),
    "obedience": ("run", "tools.evaluation.obedience"),
    "demo-pictures": ("run", "tools.demo.pictures"),
    "paper-table": ("test", "tools.evaluation.paper_table"),
    "long-video-table": ("test", "tools.evaluation.long_video.table"),
    "recording-memory": ("run", "tools.workflows.recording_memory"),
    "training-memory": ("run", "tools.benchmarks.training_memory"),
    "train-demo": ("run", "tools.demo.train"),
}
"""What other modules do, {command: (what the environment is for, module)}; diffusers and matplotlib come with tests."""


def prepare(options: argparse.Namespace, purpose: str = "run") -> Host:
    """Return a host that can run, after downloading and installing what is missing."""
    own = options.host or (None if options.host_version else os.environ.get("COMFYUI_PATH"))
    if own is not None:
        path = Path(own).resolve()
        version = hosts.version_of(path)
        python = options.python or environment.find_python(path, purpose)
        if python is not None:
            # Not resolved: the Python of a virtual environment is a link.
            return Host(path, python.absolute(), version)
    with environment.work_folder() as work:
        base_python = environment.make_venv(work / "venv")
        reference = hosts.obtain(hosts.REFERENCE, work / "hosts", base_python)
        if own is None:
            version = options.host_version or hosts.REFERENCE
            path = hosts.obtain(version, work / "hosts", base_python)
        environment.install(base_python, reference, ROOT, purpose)
        if path == reference:
            return Host(path, base_python, version)
        # Of another version, or without a usable Python: a small layer over the environment of the reference.
        name = version if own is None else hashlib.sha256(str(path).encode()).hexdigest()[:8]
        python = environment.layer_on(work / f"venv-{name}", work / "venv")
        environment.install(python, path, ROOT, "run")
        return Host(path, python, version)


def base_of(host: Host) -> Path:
    """Return the folder of a host's models, inputs and outputs, with this pack in it."""
    with environment.work_folder() as work:
        return make_base(work / f"base-{host.version}", {PACK_NAME: ROOT}, INPUTS)


def demo(options: argparse.Namespace, rest: list[str]) -> None:
    """Make one video with the embedded model, through the server's HTTP interface."""
    parser = argparse.ArgumentParser(prog="dev.py demo")
    parser.add_argument("prompt", nargs="?", help="the workflow's own by default; a prompt schedule where it has one")
    parser.add_argument("--seed", type=int, help="another seed gives another video of the same prompt")
    parser.add_argument("--workflow", type=Path, default=DEMO_WORKFLOW)
    parser.add_argument("--output", type=Path, default=environment.output_path())
    chosen = parser.parse_args(rest)
    host = prepare(options)
    base = base_of(host)
    with StatusLine() as status:
        server = Server(host, base, on_wait=lambda s: status.show(f"starting ComfyUI {host.version}: {s:.0f} s"))
        with server:
            client = ComfyClient(server.url)
            nodes = client.object_info()
            workflow = load(chosen.workflow)
            prompt = to_prompt(workflow, nodes)
            if chosen.prompt is not None:
                set_text(prompt, chosen.prompt, nodes)
            if chosen.seed is not None:
                set_seed(prompt, chosen.seed)
            try:
                outputs = client.run(prompt, with_values(workflow, prompt, nodes), status.progress, status.show)
                video = fetch_video(client, outputs, chosen.output, chosen.prompt or chosen.workflow.stem)
            except (RunError, ConnectionError) as error:
                raise ServerError(f"{error}\nThe end of {server.log}:\n{server.log_tail()}") from error
    sheet = video.with_suffix(".png")
    subprocess.run([host.python, ROOT / "tools" / "workflows" / "contact_sheet.py", video, sheet], check=True)
    print(f"contact sheet: {sheet}\nvideo: {video}", flush=True)


def fetch_video(client: ComfyClient, outputs: dict, folder: Path, prompt: str) -> Path:
    """Download the video of a run, under a name made of its prompt, and return where it is."""
    saved = [entry for entry in saved_files(outputs) if entry["filename"].endswith(".mp4")]
    if not saved:
        raise RunError("the workflow saved no .mp4; it has to end in a Save Video node")
    name = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:80] or "video"
    return client.download(saved[0], folder.resolve() / f"{name}.mp4")


def serve(options: argparse.Namespace, rest: list[str]) -> None:
    """Run the host with the pack until Ctrl-C. What follows on the command line is handed to ComfyUI's main.py."""
    parser = argparse.ArgumentParser(prog="dev.py serve", epilog="Other options are handed to ComfyUI's main.py.")
    parser.add_argument("--port", type=int, default=8188)
    chosen, extra = parser.parse_known_args(rest)
    host = prepare(options)
    base = base_of(host)
    print(f"ComfyUI {host.version}: http://127.0.0.1:{chosen.port} (Ctrl-C ends it). Its files: {base}", flush=True)
    process = start(arguments(host, base, chosen.port, tuple(extra)))
    try:
        process.wait()
    finally:
        stop(process)
    sys.exit(process.returncode)


def in_host(options: argparse.Namespace, purpose: str, *command: str) -> None:
    """Run a Python command with the host's Python and packages, and end with its exit status."""
    host = prepare(options, purpose)
    process = subprocess.Popen([host.python, *command], cwd=ROOT, env=dict(os.environ, COMFYUI_PATH=str(host.path)))
    try:
        process.wait()
    finally:
        stop_command(process)
    sys.exit(process.returncode)


def test(options: argparse.Namespace, rest: list[str]) -> None:
    """Run the tests: those that are asked for on one host, or all on the reference and some on older hosts too."""
    one = rest or options.host or options.host_version or os.environ.get("COMFYUI_PATH")
    if one:
        in_host(options, "test", "-m", "pytest", *rest)
    versions = (hosts.REFERENCE, *suite.OTHER_HOSTS)
    prepared = [prepare(argparse.Namespace(**vars(options) | {"host_version": version}), "test")
                for version in versions]
    sys.exit(suite.run_on_all(prepared, ROOT))


def main() -> None:
    """Read the command line and do what it says."""
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("--host", type=Path)
    common.add_argument("--host-version", choices=tuple(hosts.RELEASES))
    common.add_argument("--python", type=Path)
    common.add_argument("--work", type=Path)
    command, *words = sys.argv[1:] or ["--help"]
    options, rest = common.parse_known_args(words)
    if options.work is not None:
        # For the commands that run in a process of their own, too.
        os.environ[environment.WORK_VARIABLE] = str(options.work.absolute())
    stop_on_signals()
    print_everything()
    if command == "demo":
        demo(options, rest)
    elif command == "serve":
        serve(options, rest)
    elif command == "test":
        test(options, rest)
    elif command == "migrate":
        migrate(sys.argv[2:])
    elif command in MODULES:
        purpose, module = MODULES[command]
        in_host(options, purpose, "standalone.py", module, *rest)
    else:
        print(__doc__)
        sys.exit(0 if command in ("-h", "--help", "help") else 2)


if __name__ == "__main__":
    try:
        main()
    except (environment.SetupError, hosts.HostError, ServerError, WorkflowError, RunError, OSError) as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {' '.join(map(str, error.cmd))} failed with exit status {error.returncode}")
    except KeyboardInterrupt:
        sys.exit(130)
