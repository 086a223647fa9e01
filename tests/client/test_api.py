"""What the client makes of a server that refuses, stumbles, lies, forgets or breaks off."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from animatelcm.client.api import ComfyClient, RunError, saved_files
from animatelcm.tests.client.stand import (
    SAVED,
    Answer,
    Handler,
    Stand,
    arrive_and_reset,
    cut,
    html,
    reset,
    status,
)

PROMPT = {"1": {"class_type": "SaveVideo", "inputs": {}}}


@pytest.fixture
def client(stand: Stand) -> ComfyClient:
    return ComfyClient(stand.url, poll_seconds=0.01, retry_waits=(0.0, 0.0))


def test_run_and_its_file(client: ComfyClient, tmp_path: Path) -> None:
    [saved] = saved_files(client.run(PROMPT))
    assert client.download(saved, tmp_path / "a.mp4").read_bytes() == b"film"


def test_state_of_a_run_that_waits(stand: Stand, client: ComfyClient) -> None:
    stand.running, stand.pending = ["other"], ["one", "ours"]
    states = []

    def see(state: str) -> None:
        states.append(state)
        stand.history["ours"] = {"outputs": {}, "status": {"status_str": "success"}}

    client.wait("ours", PROMPT, on_state=see)
    assert states == ["waiting, 2 before it, 0 s"]


def test_the_smallest_number_of_the_queue_is_next(stand: Stand, client: ComfyClient) -> None:
    """The host lists what waits in the order of a heap."""
    waiting = {"queue_running": [], "queue_pending": [[5, "late"], [4, "later"], [3, "ours"], [1, "first"]]}
    stand.answers["/queue"] = (200, "application/json", json.dumps(waiting).encode())
    states = []

    def see(state: str) -> None:
        states.append(state)
        stand.history["ours"] = {"outputs": {}, "status": {"status_str": "success"}}

    client.wait("ours", PROMPT, on_state=see)
    assert states == ["waiting, 1 before it, 0 s"]


def test_a_run_that_the_server_has_forgotten_ends_the_wait(stand: Stand, client: ComfyClient) -> None:
    stand.finishes = False
    with pytest.raises(RunError, match="neither queued nor finished"):
        client.run(PROMPT, on_state=lambda state: stand.running.clear())


@pytest.mark.parametrize("kind", [status(500), status(502), status(429), reset], ids=["500", "502", "429", "reset"])
@pytest.mark.parametrize("path", ["/prompt", "/queue", "/view", "history"])
def test_one_hiccup_loses_nothing(stand: Stand, client: ComfyClient, tmp_path: Path, path: str,
                                  kind: Callable[[Handler], None]) -> None:
    if path == "history":
        prompt_id = client.queue(PROMPT)
        stand.trouble(f"/history/{prompt_id}", kind, kind)
        outputs = client.wait(prompt_id, PROMPT)
    else:
        stand.trouble(path, kind, kind)
        outputs = client.run(PROMPT)
    [saved] = saved_files(outputs)
    assert client.download(saved, tmp_path / "a.mp4").read_bytes() == b"film"
    assert len(stand.history) == 1


def test_a_prompt_whose_answer_got_lost_is_not_queued_twice(stand: Stand, client: ComfyClient) -> None:
    stand.trouble("/prompt", arrive_and_reset)
    client.run(PROMPT)
    assert (stand.count("/prompt"), len(stand.history)) == (1, 1)


def test_a_prompt_of_which_a_part_was_refused_is_taken_off(stand: Stand, client: ComfyClient) -> None:
    """The host queues what is left of it."""
    def accept_a_part(handler: Handler) -> None:
        prompt_id = stand.calls[-1][1]["prompt_id"]
        stand.running.append(prompt_id)
        trouble = {"class_type": "SaveVideo", "errors": [{"message": "Value not in list", "details": "codec"}]}
        answer = {"prompt_id": prompt_id, "number": 1, "node_errors": {"1": trouble}}
        handler.send(200, "application/json", json.dumps(answer).encode())

    stand.trouble("/prompt", accept_a_part)
    with pytest.raises(RunError, match=r"SaveVideo \(node 1\): Value not in list: codec"):
        client.queue(PROMPT)
    assert stand.running == [] and stand.count("/interrupt") == 1


def test_lasting_trouble_is_said(stand: Stand, client: ComfyClient) -> None:
    stand.trouble("/view", *[status(503)] * 3)
    with pytest.raises(ConnectionError, match=r"/view.*answered 503"):
        client.fetch_file(SAVED)


@pytest.mark.parametrize("kind", [cut, reset])
def test_a_download_that_breaks_off_leaves_nothing(stand: Stand, client: ComfyClient, tmp_path: Path,
                                                   kind: Callable[[Handler], None]) -> None:
    stand.trouble("/view", *[kind] * 3)
    for fetch in (client.download, client.download_new):
        with pytest.raises(ConnectionError, match="broke off"):
            fetch(SAVED, tmp_path / "a.mp4")
        stand.trouble("/view", *[kind] * 3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", [(200, "text/html; charset=utf-8", b"<html>"), (200, "application/json", b"{}"),
                                    (200, "video/mp4", b"")])
def test_something_else_is_not_saved_as_a_video(stand: Stand, client: ComfyClient, tmp_path: Path,
                                                answer: Answer) -> None:
    stand.answers["/view"] = answer
    with pytest.raises(RunError, match=r"a\.mp4"):
        client.download(SAVED, tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("where", "message"), [("/object_info", "no JSON but a web page"), ("/prompt", "web page")])
def test_web_page_in_place_of_json(stand: Stand, client: ComfyClient, where: str, message: str) -> None:
    stand.trouble(where, html)
    with pytest.raises(RunError, match=message):
        client.object_info() if where == "/object_info" else client.run(PROMPT)


class Stop(BaseException):
    """What ends a program, as Ctrl-C does."""


@pytest.mark.parametrize("how", [KeyboardInterrupt, Stop, ValueError])
@pytest.mark.parametrize("running", [True, False])
def test_whatever_ends_the_wait_takes_only_our_prompt_off(stand: Stand, client: ComfyClient, running: bool,
                                                          how: type[BaseException]) -> None:
    stand.finishes = False
    stand.running, stand.pending = (["other"], []) if not running else ([], ["other"])
    if not running:
        stand.queue = stand.pending.append

    def end(state: str) -> None:
        raise how

    with pytest.raises(how):
        client.run(PROMPT, on_state=end)
    assert stand.running + stand.pending == ["other"]
    assert stand.count("/interrupt") == running


@pytest.mark.parametrize("address", ["", "127.0.0.1:8188", "ftp://host", "http://", "http://host:port", "http://a b",
                                     "http://host/?a=b"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ConnectionError, match=r"such as http://127\.0\.0\.1:8188"):
        ComfyClient(address)


def test_name_and_password_go_with_every_request_and_into_no_message(stand: Stand) -> None:
    client = ComfyClient(stand.url.replace("//", "//me:p%40ss@"), poll_seconds=0.01, retry_waits=())
    client.run(PROMPT)
    assert stand.authorizations == {"Basic bWU6cEBzcw=="}
    assert "me" not in client.url


def test_redirects_are_named_and_not_followed(stand: Stand, client: ComfyClient) -> None:
    def redirect(handler: Handler) -> None:
        handler.send_response(301)
        handler.send_header("Location", "https://elsewhere.org/prompt")
        handler.end_headers()

    stand.trouble("/prompt", redirect)
    with pytest.raises(RunError, match=r"https://elsewhere\.org/prompt"):
        client.queue(PROMPT)


ODD = (None, True, -1, 2.5, "", "x", [], {}, [1], ["execution_error"], [["execution_error", {}]], {"a": 1}, [[1]],
       {"error": 1}, {"node_errors": {"1": 2}, "prompt_id": "x"}, {"prompt_id": 3}, {"error": {"message": 1}})


def test_answers_of_any_form_are_used_or_refused(stand: Stand, client: ComfyClient, tmp_path: Path) -> None:
    choose = random.Random(0)
    good = {"outputs": stand.outputs, "status": {"status_str": "error", "messages": [["execution_error", {}]]}}
    for _ in range(150):
        content = choose.choice([json.dumps(choose.choice(ODD)).encode(), b"{", b"\xff", b"[" * 9000])
        path = choose.choice(["/prompt", "/queue", "/object_info", "entry"])
        stand.answers = {path: (choose.choice([200, 200, 400, 404]), "application/json", content)}
        stand.outputs = choose.choice([*ODD, {"1": choose.choice(ODD)}, {"1": {"images": choose.choice(ODD)}}])
        with suppress(RunError, ConnectionError):
            client.object_info()
        with suppress(RunError, ConnectionError):
            prompt_id = client.queue(PROMPT)
            if path == "entry":
                stand.history[prompt_id] = choose.choice([*ODD, good | {"status": choose.choice(ODD)},
                                                          {"status": {"messages": choose.choice(ODD)}}])
            for saved in saved_files(client.wait(prompt_id, PROMPT)):
                client.fetch_file(saved)
        with suppress(RunError, ConnectionError):
            client.cancel("x")
