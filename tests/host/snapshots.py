"""What the host and torch consist of at one moment, to find what a run has left changed."""

from __future__ import annotations

import inspect
import sys
from types import ModuleType

import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from ..support import run

PACKAGES = ("comfy", "comfy_extras", "torch")
TORCH_PARTS = ("torch", "torch.nn", "torch.nn.functional", "torch.nn.modules", "torch.optim", "torch.autograd",
               "torch.cuda", "torch.random", "torch.utils.checkpoint")
"""All of torch are thousands of modules, most of them generated; these are the ones that anybody would patch."""


ABSENT = object()


def library_attributes() -> dict[str, object]:
    """Return every attribute of the loaded comfy and torch modules and of the classes in them, by its path."""
    found = {}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and _is_watched(name):
            for attribute, value in list(vars(module).items()):
                found[f"{name}.{attribute}"] = value
                if inspect.isclass(value) and value.__module__ == name:
                    found |= {f"{name}.{attribute}.{key}": entry for key, entry in vars(value).items()}
    return found


def _is_watched(name: str) -> bool:
    if name.partition(".")[0] not in PACKAGES:
        return False
    return not name.startswith("torch") or name in TORCH_PARTS or name.startswith("torch.nn.modules.")


def changed(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """Return the paths whose object is another one, gone or new."""
    return [path for path in before.keys() | after.keys()
            if not _is_same(before.get(path, ABSENT), after.get(path, ABSENT))]


def _is_same(a: object, b: object) -> bool:
    # numbers and texts have no identity
    return a is b or (type(a) is type(b) and isinstance(a, int | float | str) and a == b)


def parts_of(network: nn.Module) -> dict[str, object]:
    """Return every object that a network is made of, by its path: layers, what is set on them, hooks, weights."""
    parts = {}
    for name, layer in network.named_modules():
        parts[f"{name}:"] = layer
        parts[f"{name}:class"] = type(layer)
        for key, value in vars(layer).items():
            parts[f"{name}:{key}"] = value
            if isinstance(value, dict):
                parts |= {f"{name}:{key}:{inner}": entry for inner, entry in value.items()}
    return parts


def options_of(model: ModelPatcher) -> object:
    """Return a copy of the MODEL's options and registrations in which every leaf is the object itself."""
    return _frozen([model.model_options, model.patches, model.object_patches, model.wrappers, model.callbacks,
                    model.injections, model.additional_models, model.attachments])


def _frozen(value: object) -> object:
    if isinstance(value, dict):
        return "dict", [(key, _frozen(entry)) for key, entry in value.items()]
    if isinstance(value, list | tuple | set):
        return type(value).__name__, [_frozen(entry) for entry in value]
    return id(value), value


def weights_of(model: ModelPatcher) -> dict[str, torch.Tensor]:
    """Return copies of the values of all weights."""
    return {key: value.clone() for key, value in model.model.state_dict().items()}


class Watch:
    """Compares a MODEL, the host and torch with what they were when the watch began."""

    def __init__(self, model):
        self.model = model
        self.result = run(model)
        # From the second run on the host's own preparations are done, and nothing may change any more.
        self.parts, self.unet = parts_of(model.model), parts_of(model.model.diffusion_model)
        self.options, self.weights = options_of(model), weights_of(model)
        self.attributes = library_attributes()

    def check(self):
        # Of the whole model the host itself may hold back a change, such as another model_sampling, to the next run.
        assert changed(self.unet, parts_of(self.model.model.diffusion_model)) == []
        assert changed(self.attributes, library_attributes()) == []
        assert options_of(self.model) == self.options
        assert torch.equal(run(self.model), self.result)
        assert changed(self.parts, parts_of(self.model.model)) == []
        weights = weights_of(self.model)
        assert list(weights) == list(self.weights)
        assert all(torch.equal(value, self.weights[key]) for key, value in weights.items())
