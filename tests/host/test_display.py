"""Texts on nodes."""

import sys
from types import SimpleNamespace

import pytest
from animatelcm.host.display import show_text


@pytest.fixture
def sent(monkeypatch):
    """What a running host's server is asked to show."""
    messages = []
    server = SimpleNamespace(
        client_id="page", send_progress_text=lambda text, node_id, page: messages.append((text, node_id, page)))
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=server)))
    return messages


def test_text_goes_to_the_node_that_is_executed_on_the_page_that_queued_it(sent):
    """Others may have a node with this id in a graph of their own."""
    show_text(SimpleNamespace(hidden=SimpleNamespace(unique_id="12")), "timesteps 999 499")
    assert sent == [("timesteps 999 499", "12", "page")]


def test_a_node_called_from_a_script_shows_nothing(sent, monkeypatch):
    show_text(SimpleNamespace(hidden=None), "timesteps 999 499")
    monkeypatch.delitem(sys.modules, "server")
    show_text(SimpleNamespace(hidden=SimpleNamespace(unique_id="12")), "timesteps 999 499")
    assert sent == []


def test_a_run_that_no_page_has_queued_shows_nothing(sent):
    sys.modules["server"].PromptServer.instance.client_id = None
    show_text(SimpleNamespace(hidden=SimpleNamespace(unique_id="12")), "timesteps 999 499")
    assert sent == []
