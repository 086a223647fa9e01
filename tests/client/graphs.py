"""A small graph's nodes, as a server describes them and as the editor saves them."""

from __future__ import annotations

from typing import Any

NODES = {
    "Loader": {"input": {"required": {"name": [["a.safetensors", "b.safetensors"]]}}},
    "Text": {"input": {"required": {"text": ["STRING", {"multiline": True}], "clip": ["CLIP", {}]}}},
    "Pass": {"input": {"required": {"model": ["MODEL"], "amount": ["FLOAT", {"default": 1.0}]}}},
    "Sampler": {"input": {"required": {
        "model": ["MODEL"], "seed": ["INT", {"control_after_generate": True}], "steps": ["INT", {"default": 20}],
        "positive": ["CONDITIONING"]}, "optional": {"cfg": ["FLOAT", {"default": 7.0}]}}},
    "Save": {"input": {"required": {
        "video": ["VIDEO"], "prefix": ["STRING", {}],
        "codec": ["COMFY_DYNAMICCOMBO_V3", {"options": [
            {"key": "auto", "inputs": {"required": {}}},
            {"key": "h264", "inputs": {"required": {"crf": ["FLOAT", {"default": 23.0}]}}}]}]}}},
}


def entry(node_id: int, kind: str, inputs: dict[str, int | None], outputs: list[str], values: list[Any],
          mode: int = 0) -> dict[str, Any]:
    kinds = {"model": "MODEL", "positive": "CONDITIONING", "clip": "CLIP", "video": "VIDEO", "steps": "INT", "": "*"}
    return {"id": node_id, "type": kind, "mode": mode, "widgets_values": values,
            "inputs": [{"name": name, "type": kinds[name], "link": link} for name, link in inputs.items()],
            "outputs": [{"name": name, "type": name} for name in outputs]}
