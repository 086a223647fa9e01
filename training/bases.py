"""Several base models for one motion module: each batch is trained on one of them, so that it fits many styles."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from .finite import is_finite


@dataclass
class Bases:
    """Frozen weights of several networks of one kind, of which one at a time is in the network that is trained.

    They wait on the CPU. Weights that are the same in all of them are held once, in the network.
    """

    seed: int
    weights: list[list[tuple[nn.Parameter, Tensor]]] = field(default_factory=list)
    """By base: the parameters that differ, and what each is there."""

    def __len__(self) -> int:
        return len(self.weights)

    def index_of(self, number: int) -> int:
        """Return which of them a batch is trained on: by its number alone, all equally often."""
        return random.Random(f"{self.seed} base {number}").randrange(len(self))

    def use(self, index: int) -> None:
        """Put one of them into the network.

        The parameters stay what they are and get other values, which a way back that computes activations again finds.
        """
        for parameter, value in self.weights[index]:
            parameter.data = value.to(parameter.device)


def bases_of(parameters: Mapping[str, nn.Parameter], given: Iterable[Mapping[str, Tensor]], seed: int) -> Bases:
    """Return the bases of a network whose frozen parameters are those of the first, and further ones.

    Args:
        given: The weights of each further one, by the same names; those that it does not name are as in the first.
        seed: Decides which batch gets which.

    Raises:
        ValueError: One is of another kind, holds numbers that are none, or is the same as the first.
    """
    changed: list[dict[str, Tensor]] = []
    for index, weights in enumerate(given, 1):
        if odd := [name for name in weights if name not in parameters
                   or weights[name].shape != parameters[name].shape]:
            raise ValueError(f"base {index} is of another kind than the MODEL: {odd[0]} does not fit. Give LoRAs and "
                             "checkpoints of Stable Diffusion 1.5")
        if bad := [name for name, weight in weights.items() if not is_finite(weight)]:
            raise ValueError(f"base {index} holds nan or infinite numbers in {bad[0]}. Make or download it again")
        own = {name: weight.detach().to("cpu", parameters[name].dtype) for name, weight in weights.items()}
        changed.append({name: weight for name, weight in own.items()
                        if not weight.equal(parameters[name].detach().cpu())})
        if not changed[-1]:
            raise ValueError(f"base {index} changes no weight of the MODEL. Leave it out, or give it another strength")
    names = sorted(set().union(*changed))
    first = {name: parameters[name].detach().cpu() for name in names}
    return Bases(seed, [[(parameters[name], own.get(name, first[name])) for name in names] for own in ({}, *changed)])
