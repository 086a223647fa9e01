"""What a server says of a run: the files that it saved, or why it did not end well."""

from __future__ import annotations

import json
from typing import Any

from .http import RunError, StatusError


class RefusedError(RunError):
    """The server refuses a prompt, and will again."""


class LostError(RunError):
    """The server knows nothing of a run any more."""


class StoppedError(RunError):
    """Somebody interrupted a run on the server."""


def saved_files(outputs: dict[str, Any]) -> list[dict[str, str]]:
    """Return every saved file in a run's outputs; previews, which are of type `temp`, are left out."""
    lists = [entries for node in outputs.values() if isinstance(node, dict)
             for entries in node.values() if isinstance(entries, list)]
    return [entry for entries in lists for entry in entries
            if isinstance(entry, dict) and entry.get("type") == "output" and isinstance(entry.get("filename"), str)]


def outcome(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs of a run that the history lists as done."""
    status = entry.get("status")
    status = status if isinstance(status, dict) else {}
    if status.get("status_str") == "success":
        outputs = entry.get("outputs", {})
        if not isinstance(outputs, dict):
            raise RunError(f"the server lists {outputs!r} as what the run made, expected its outputs by node")
        return outputs
    messages = status.get("messages")
    for message in messages if isinstance(messages, list) else []:
        kind, data = message if isinstance(message, list) and len(message) == 2 else (None, None)
        if kind == "execution_error" and isinstance(data, dict):
            what = f"{data.get('exception_type')}: {str(data.get('exception_message', '')).strip()}"
            raise RunError(f"{data.get('node_type')} (node {data.get('node_id')}) failed: {what}")
        if kind == "execution_interrupted":
            raise StoppedError("the run was interrupted")
    raise RunError(f"the run ended as {status.get('status_str')!r}")


def refusal(error: StatusError, prompt: dict[str, Any]) -> str:
    try:
        answer = json.loads(error.content)
    except (ValueError, RecursionError):
        return str(error)
    return explain(answer, prompt) if isinstance(answer, dict) and answer.get("error") else str(error)


def explain(answer: dict[str, Any], prompt: dict[str, Any]) -> str:
    """Return the server's objections to a prompt as lines of text."""
    try:
        error = answer.get("error") or {}
        lines = [f"the server refused the workflow: {error.get('message', '')} {error.get('details', '')}".rstrip(" :")]
        for node, trouble in (answer.get("node_errors") or {}).items():
            kind = trouble.get("class_type") or prompt.get(node, {}).get("class_type")
            lines += [f"  {kind} (node {node}): {e.get('message')}: {e.get('details')}"
                      for e in trouble.get("errors", [])]
    except (AttributeError, TypeError):
        return f"the server refused the workflow: {answer!r:.500}"
    return "\n".join(lines)
