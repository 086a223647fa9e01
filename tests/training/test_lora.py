"""LoRA layers against the sum of weights that every LoRA loader makes of their file."""

import copy

import pytest
import torch
from animatelcm.tests.training import toys
from animatelcm.training import lora
from torch import nn


def trained():
    network = toys.Model()
    layers = lora.inject(network, toys.NAMES, toys.LORA)
    for layer in layers.values():
        nn.init.normal_(layer.up.weight)
    weights = {name: p for name, p in network.named_parameters() if ".up." in name or ".down." in name}
    return network, lora.export(weights, toys.NAMES, toys.LORA), weights


def run(network):
    examples = toys.source(0)
    return network(examples.latents, torch.tensor([9, 99]), examples.context)


def test_a_new_lora_changes_nothing():
    network = toys.Model()
    before = run(network)
    lora.inject(network, toys.NAMES, toys.LORA)
    assert torch.equal(run(network), before)


def test_only_the_layers_of_attention_and_resnets_get_one():
    assert set(lora.inject(toys.Model(), toys.NAMES, toys.LORA)) == {"unet.conv", "unet.attend"}


def test_adding_the_files_matrices_to_the_weights_gives_what_training_saw():
    network, tensors, _ = trained()
    merged = toys.Model()
    for name, diffusers in list(toys.NAMES.items())[:2]:
        key = "lora_unet_" + diffusers.replace(".", "_")
        down, up, alpha = (tensors[f"{key}.{part}"] for part in ("lora_down.weight", "lora_up.weight", "alpha"))
        update = alpha / len(down) * (up.flatten(1) @ down.flatten(1))
        weight = merged.get_submodule(name).weight
        weight.data += update.view_as(weight)
    torch.testing.assert_close(run(network), run(merged), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(run(network), run(toys.Model()), atol=1e-2)


def test_a_file_reads_back_as_it_was_written():
    _, tensors, weights = trained()
    read, config = lora.read(tensors, toys.NAMES)
    assert config == toys.LORA
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[name], weights[name]) for name in weights)


def test_a_file_for_another_network_is_refused():
    _, tensors, _ = trained()
    tensors["lora_te_text_model.alpha"] = torch.tensor(1.0)
    with pytest.raises(ValueError, match="has a tensor lora_te_text_model.alpha, which belongs to no layer"):
        lora.read(tensors, toys.NAMES)


def test_a_network_without_such_layers_is_refused():
    with pytest.raises(ValueError, match="no layer of the network"):
        lora.inject(copy.deepcopy(toys.Model()), {"unet.last": "conv_out"}, toys.LORA)


@pytest.mark.parametrize(("odd", "message"), [
    (torch.tensor(1.0), r"of the shape \(\)"), (torch.zeros(0, 2), "of the shape"),
    (torch.zeros(2, 2, dtype=torch.int32), "int32"), (torch.zeros(2, 2, dtype=torch.complex64), "complex64"),
    (torch.full((4, 3, 3, 3), torch.nan), "NaN or infinite"),
    (torch.full((2, 2), 1e300, dtype=torch.float64), "NaN or infinite"),
])
@pytest.mark.parametrize("part", ["down", "up"])
def test_a_matrix_that_is_none_is_refused(odd, message, part):
    _, tensors, _ = trained()
    key = next(key for key in tensors if key.endswith(f"lora_{part}.weight"))
    with pytest.raises(ValueError, match=message):
        lora.read(tensors | {key: odd}, toys.NAMES)


@pytest.mark.parametrize("odd", [torch.zeros(2), torch.tensor(0.0), torch.tensor(-1), torch.tensor(float("nan")),
                                 torch.tensor(1j), torch.zeros(0)])
def test_an_alpha_that_is_none_is_refused(odd):
    _, tensors, _ = trained()
    key = next(key for key in tensors if key.endswith("alpha"))
    with pytest.raises(ValueError, match="an alpha that cannot be"):
        lora.read(tensors | {key: odd}, toys.NAMES)


@pytest.mark.parametrize("part", ["lora_down.weight", "lora_up.weight"])
def test_a_layer_with_one_matrix_is_refused(part):
    _, tensors, _ = trained()
    del tensors[next(key for key in tensors if key.endswith(part))]
    with pytest.raises(ValueError, match=f"incomplete: .* has no {part}"):
        lora.read(tensors, toys.NAMES)


def test_layers_of_other_sizes_are_refused():
    _, _, weights = trained()
    network = toys.Model()
    lora.inject(network, toys.NAMES, toys.LORA)
    lora.fill(network, weights)
    name = next(iter(weights))
    with pytest.raises(ValueError, match="does not fit this UNet"):
        lora.fill(network, weights | {name: torch.zeros(1, 1)})


def test_without_an_alpha_the_product_counts_as_it_is():
    """alpha is the rank then, as every loader has it."""
    _, tensors, weights = trained()
    found, shape = lora.read({key: tensor for key, tensor in tensors.items() if not key.endswith("alpha")}, toys.NAMES)
    assert (shape.rank, shape.alpha) == (toys.LORA.rank, float(toys.LORA.rank)) and found.keys() == weights.keys()


@pytest.mark.parametrize("name", [
    "base_model.model.{}.lora_{AB}.weight", "base_model.model.{}.lora_{AB}.default.weight", "unet.{}.lora_{AB}.weight",
    "unet.{}.lora.{down}.weight", "unet.base_model.model.{}.lora_{AB}.weight"])
def test_the_keys_of_other_programs_give_the_same_weights(name):
    """Those of PEFT, in which phased LoRAs are trained, and diffusers'. They have no alpha: it is the rank."""
    _, tensors, weights = trained()
    theirs = {}
    for key, tensor in tensors.items():
        layer, _, part = key.partition(".")
        if part != "alpha":
            down = part.removeprefix("lora_").removesuffix(".weight")
            dotted = next(own for own in toys.NAMES.values() if "lora_unet_" + own.replace(".", "_") == layer)
            theirs[name.format(dotted, AB={"down": "A", "up": "B"}[down], down=down)] = tensor
    found, shape = lora.read(theirs, toys.NAMES)
    assert shape.alpha == shape.rank and found.keys() == weights.keys()
    assert all(torch.equal(found[key], weight) for key, weight in weights.items())
    assert lora.kohyas_key("lora_unet_conv.alpha") == "lora_unet_conv.alpha"
