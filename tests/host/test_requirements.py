"""Old hosts and double installs are refused with a sentence that helps."""

import re
from pathlib import Path

import pytest
from animatelcm.host.requirements import OLDEST_VERSION, check_only_install, check_version

ROOT = Path(__file__).resolve().parents[2]


class Node:
    pass


@pytest.mark.parametrize("version", ["0.3.75", "0.18.2", "0.24.0", "0.9.0"])
def test_older_hosts_are_refused(version):
    with pytest.raises(ImportError, match=rf"needs ComfyUI 0\.24\.1 or newer, this is {version}"):
        check_version(version)


@pytest.mark.parametrize("version", [OLDEST_VERSION, "0.24.10", "0.30.0", "0.30.0-dev", "1.0", "0.31.0+local.1"])
def test_newer_hosts_are_taken(version):
    check_version(version)


def test_registry_metadata_says_the_same():
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^requires-comfyui = "(.*)"$', metadata, re.MULTILINE)[1] == f">={OLDEST_VERSION}"


def test_a_second_copy_is_refused_with_both_places():
    with pytest.raises(ImportError, match="installed twice") as caught:
        check_only_install("Ours", {"Ours": Node}, "custom_nodes/copy")
    assert __file__ in str(caught.value)
    assert "custom_nodes/copy" in str(caught.value)


def test_other_packs_do_not_matter():
    check_only_install("Ours", {"Theirs": Node}, "custom_nodes/ours")
