"""The network that is trained, against the MODEL that it was made from."""

from functools import partial

import comfy.model_management
import comfy.sd
import pytest
import torch
from animatelcm.host import image_to_video
from animatelcm.host.motion import apply_motion
from animatelcm.host.sampling import model_sampling_for
from animatelcm.host.training import control_nets
from animatelcm.host.training import network as trainable_module
from animatelcm.host.training.network import attending, diffusion, layer_names, trainable
from animatelcm.samplers.schedules import SCHEDULES, grid
from animatelcm.tests.host.controls import control_net, hints
from animatelcm.tests.host.sampling_routes import v_model
from animatelcm.tests.host.snapshots import parts_of, weights_of
from animatelcm.tests.support import conditioning, loaded_image_to_video, noise_for, tiny_model
from animatelcm.training.config import LoopConfig, LoRAConfig
from animatelcm.training.draws import Examples
from animatelcm.training.lora import export, inject
from animatelcm.training.memory import activations
from comfy.ldm.modules import attention
from comfy.model_sampling import EPS, V_PREDICTION, ModelSamplingDiscrete
from torch import nn

CPU = torch.device("cpu")
FRAMES = 3
LOOP = LoopConfig(steps=1, learning_rate=1e-3)


def call(network, z=None, **more):
    z = noise_for(FRAMES).unsqueeze(0) if z is None else z
    return network(z, torch.full((len(z),), 499), conditioning(1)[0][0].repeat(len(z), 1, 1), **more)


def host_call(model):
    """Call the host's own network, with everything that is on the MODEL, on the same clip."""
    with torch.inference_mode():
        comfy.model_management.load_models_gpu([model, *model.get_nested_additional_models()])
        model.pre_run()
        sigma = model.get_model_object("model_sampling").sigma(torch.tensor(499.0))
        found = {}

        def note(executor, *args, **kwargs):
            found["prediction"] = executor(*args, **kwargs)
            return found["prediction"]

        options = {**model.model_options["transformer_options"], "wrappers": {
            kind: {**wrappers} for kind, wrappers in model.wrappers.items()}}
        options["wrappers"]["diffusion_model"] = {"test": [note]}
        x = noise_for(FRAMES) * (1 + sigma**2).sqrt()
        model.model.apply_model(x, sigma.expand(FRAMES), c_crossattn=conditioning(1)[0][0].repeat(FRAMES, 1, 1),
                                transformer_options=options)
        model.cleanup()
    return found["prediction"].unsqueeze(0)


@pytest.fixture
def image_to_video_motion(tmp_path):
    return loaded_image_to_video(tmp_path)


def test_it_predicts_what_the_host_does(model, motion):
    own = trainable(model, motion, torch.float32, CPU, gradient_checkpointing=False)
    host = host_call(apply_motion(model, motion, 1.0, SCHEDULES["AnimateDiff"]))
    torch.testing.assert_close(call(own), host, rtol=1e-4, atol=1e-5)


def test_what_the_network_predicts_is_the_models(model):
    assert [diffusion(each, SCHEDULES["AnimateDiff"], CPU).prediction for each in (model, v_model())] == ["eps", "v"]


def test_two_clips_do_not_see_each_other(model, motion):
    own = trainable(model, motion, torch.float32, CPU, gradient_checkpointing=False)
    clips = torch.stack([noise_for(FRAMES, 0), noise_for(FRAMES, 1)])
    both = call(own, clips)
    torch.testing.assert_close(both[1:], call(own, clips[1:]), rtol=1e-4, atol=1e-5)


def test_the_image_encoders_features_enter_where_the_host_adds_them(model, image_to_video_motion):
    own = trainable(model, image_to_video_motion, torch.float32, CPU, gradient_checkpointing=False)
    latents = noise_for(1, seed=5)
    reference = model.get_model_object("latent_format").process_in(latents)
    applied = image_to_video.apply_image_to_video(
        model, image_to_video_motion, latents, 0.8, (1.0,) * 4, 1.0, SCHEDULES["AnimateDiff"])
    torch.testing.assert_close(call(own, reference=reference), host_call(applied), rtol=1e-4, atol=1e-5)


def test_its_lora_does_what_the_stock_loader_makes_of_the_file(model):
    own = trainable(model, None, torch.float32, CPU, gradient_checkpointing=False)
    names, shape = layer_names(model), LoRAConfig(rank=3, alpha=6.0)
    layers = inject(own, names, shape)
    for layer in layers.values():
        nn.init.normal_(layer.up.weight, std=0.1)
    assert len(layers) > 200
    weights = {name: p for name, p in own.named_parameters() if name.endswith((".up.weight", ".down.weight"))}
    loaded, _ = comfy.sd.load_lora_for_models(model, None, export(weights, names, shape), 1.0, 0)
    assert len(loaded.patches) == len(layers)
    frames = noise_for(FRAMES)
    timesteps, context = torch.full((FRAMES,), 499.0), conditioning(1)[0][0].repeat(FRAMES, 1, 1)
    before = call(trainable(model, None, torch.float32, CPU, False), frames)
    with torch.inference_mode():
        comfy.model_management.load_models_gpu([loaded])
        host = loaded.model.diffusion_model(frames, timesteps, context, transformer_options={})
        # While the LoRA is in the MODEL, another network made from it still has the LoRA once.
        again = call(trainable(loaded, None, torch.float32, CPU, False), frames)
        loaded.detach()
    torch.testing.assert_close(call(own, frames), host, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(again, host, rtol=1e-4, atol=1e-4)
    assert (host - before).abs().max() > 0.01


@pytest.mark.parametrize("with_motion", [True, False])
def test_gradient_checkpointing_changes_no_gradient_and_keeps_less(model, motion, with_motion):
    def gradients(gradient_checkpointing):
        own = trainable(model, motion if with_motion else None, torch.float32, CPU, gradient_checkpointing)
        own.requires_grad_(True)
        kept = 0

        def pack(tensor):
            nonlocal kept
            kept += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            prediction = call(own, None if with_motion else noise_for(FRAMES))
        prediction.square().sum().backward()
        return {name: p.grad for name, p in own.named_parameters()}, kept

    (plain, most), (again, least) = gradients(False), gradients(True)
    assert plain.keys() == again.keys() and all(gradient is not None for gradient in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, rtol=1e-4, atol=1e-6)
    assert least < most / 3


def test_the_model_shares_nothing_with_it(model, motion):
    before, parts = weights_of(model), parts_of(model.model)
    own = trainable(model, motion, torch.float32, CPU, gradient_checkpointing=True)
    inject(own, layer_names(model), LoRAConfig(rank=2, alpha=2.0))
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.fill_(7)
    assert parts_of(model.model) == parts
    assert all(torch.equal(weight, before[key]) for key, weight in model.model.state_dict().items())
    assert not any((p == 7).all() for p in motion.patcher.model.parameters())


def test_frozen_matrices_take_the_precision_of_the_training():
    own = trainable(tiny_model(), None, torch.bfloat16, CPU, gradient_checkpointing=False)
    kinds = {(p.ndim > 1, p.dtype) for p in own.unet.parameters()}
    assert kinds == {(True, torch.bfloat16), (False, torch.float32)}
    with torch.autocast("cpu", torch.bfloat16):
        assert call(own, noise_for(FRAMES)).isfinite().all()


# The function that attends.

@pytest.fixture
def kernel_for_sampling(monkeypatch):
    """The host attends by a kernel that has no form for the CPU, and would have no gradient elsewhere."""
    def kernel(*args, **kwargs):
        raise NotImplementedError("No operator found: requires device with capability > (7, 0)")

    wrapped = attention.wrap_attn(kernel)
    monkeypatch.setattr(attention, "optimized_attention", wrapped)
    monkeypatch.setattr(attention, "optimized_attention_masked", wrapped)


def test_a_block_that_is_computed_again_is_called_by_its_own_name(model, motion, monkeypatch):
    """By then the UNet has come to its last block; patches go by what the options say."""
    seen, attend = [], trainable_module.attend

    def note(chosen, *args, transformer_options=None, **kwargs):
        seen.append((transformer_options["block"], transformer_options["transformer_index"]))
        return attend(chosen, *args, transformer_options=transformer_options, **kwargs)

    monkeypatch.setattr(trainable_module, "attend", note)
    own = trainable(model, motion, torch.float32, CPU, gradient_checkpointing=True)
    own.motion.requires_grad_(True)
    prediction = call(own)
    first = list(seen)
    prediction.square().mean().backward()
    again = seen[len(first):]
    assert len(set(first)) > 3 and again and set(again) <= set(first)
    assert again == [entry for entry in reversed(first) if entry in again]


@pytest.mark.parametrize("gradient_checkpointing", [True, False])
@pytest.mark.parametrize("with_motion", [True, False])
def test_a_kernel_for_sampling_is_not_trained_with(model, motion, monkeypatch, kernel_for_sampling, with_motion,
                                                   gradient_checkpointing):
    own = trainable(model, motion if with_motion else None, torch.float32, CPU, gradient_checkpointing)
    own.control = attending(control_nets._network(model, control_nets.whole_weights(control_net(), model), CPU))
    z = None if with_motion else noise_for(FRAMES)
    hint = hints(FRAMES).movedim(-1, 1)
    hint = hint.unsqueeze(0) if with_motion else hint
    prediction = call(own, z, hint=hint)
    prediction.square().mean().backward()
    clips = noise_for(FRAMES).unsqueeze(0) if with_motion else z
    examples = Examples(clips, conditioning(1)[0][0].repeat(len(clips), 1, 1), {"hint": hint})
    needed = activations(own, examples, LOOP)
    # What torch has of its own for every device.
    monkeypatch.setattr(attention, "optimized_attention", attention.attention_pytorch)
    assert torch.equal(call(own, z, hint=hint), prediction)
    assert needed == activations(own, examples, LOOP) > 0


@pytest.mark.parametrize("name", ["attention_basic", "attention_sub_quad", "attention_split", "attention_pytorch"])
def test_what_torch_itself_can_train_with_stays_the_hosts_choice(monkeypatch, name):
    chosen = getattr(attention, name)
    q, k, v = torch.randn(3, 2, 6, 16, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    expected = chosen(q, k, v, 2)

    def elsewhere(*args, **kwargs):
        raise AssertionError("another one was taken")

    monkeypatch.setattr(attention, "attention_pytorch", elsewhere)
    found = trainable_module.attend(chosen.__wrapped__, q, k, v, 2)
    assert torch.equal(found, expected)
    found.square().sum().backward()


@pytest.mark.parametrize(("tokens", "fused"), [(6, False), (300, True)])
@pytest.mark.parametrize("masked", [False, True])
def test_on_a_cpu_few_tokens_attend_in_products(monkeypatch, tokens, fused, masked):
    def note(used, *args):
        used.append(args)
        return attention.attention_basic(*args)

    q, k, v = torch.randn(3, 2, tokens, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.full((tokens, tokens), float("-inf")).triu(1) if masked else None
    expected, used = attention.attention_pytorch(q, k, v, 2, mask), []
    monkeypatch.setattr(trainable_module, "PRODUCTS", partial(note, used))
    found = trainable_module.attend(None, q, k, v, 2, mask, on_cpu=True)
    assert (not used) == fused and torch.allclose(found, expected, atol=1e-6)
    # Where memory is estimated for a GPU, the tensors are on a CPU too.
    assert torch.equal(trainable_module.attend(None, q, k, v, 2, mask), expected) and len(used) == (not fused)


def test_a_unet_with_other_inputs_is_refused(model):
    """Such as one for inpainting."""
    model.model.model_config.unet_config = model.model.model_config.unet_config | {"in_channels": 9}
    with pytest.raises(ValueError, match="no UNet of Stable Diffusion 1.5's kind"):
        trainable(model, None, torch.float32, CPU, gradient_checkpointing=False)


def test_noise_alone_at_the_last_timestep_is_trained_as_it_is_sampled(model):
    """Where the MODEL predicts v; eps says nothing there (Lin et al. 2024)."""
    schedule = SCHEDULES["AnimateLCM text-to-video"]
    plain = diffusion(model, schedule, CPU)

    def beginning_with_noise_alone(kind):
        sampling = type("Sampling", (ModelSamplingDiscrete, kind), {})(zsnr=True)
        model.add_object_patch("model_sampling", sampling)

    beginning_with_noise_alone(V_PREDICTION)
    found = diffusion(model, schedule, CPU)
    assert found.prediction == "v" and found.alphas_cumprod[-1] < 1e-6 < plain.alphas_cumprod[-1]
    known = found.alphas_cumprod[grid(schedule)]
    torch.testing.assert_close(((1 - known) / known).sqrt(), model_sampling_for(model, schedule).sigmas)
    beginning_with_noise_alone(EPS)
    with pytest.raises(ValueError, match="predicts eps and begins with noise alone"):
        diffusion(model, schedule, CPU)
