"""ControlNets that are adapted to a few-step model: what is trained, what stays, and what the stock nodes take back."""

import gc
from dataclasses import replace

import comfy.controlnet
import comfy.ops
import pytest
import torch
from animatelcm.host.motion import apply_motion
from animatelcm.host.training import control_nets
from animatelcm.host.training.control_nets import PREFIX, save_control_net, whole_weights
from animatelcm.host.training.network import Trainable, trainable
from animatelcm.host.training.node_run import checkpoint_path
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host.controls import CONFIG, control_lora, control_net, controlled, hints, t2i_adapter
from animatelcm.tests.host.snapshots import weights_of
from animatelcm.tests.host.training.training_data import SCHEDULE, adapt_control_net, data, request
from animatelcm.tests.support import noise_for, randomise, relative_rms, run
from comfy.cldm.cldm import ControlNet
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

pytestmark = pytest.mark.usefixtures("output", "as_in_a_node")

FRAMES = 3
KINDS = {"ControlNet": control_net, "ControlNet-LoRA": control_lora}
every_kind = pytest.mark.parametrize("kind", KINDS)


def weights_in(control):
    """Return copies of what a CONTROL_NET holds."""
    held = control.control_weights if hasattr(control, "control_weights") else control.control_model.state_dict()
    return {key: weight.clone() for key, weight in held.items()}


def equal(some, others):
    return some.keys() == others.keys() and all(torch.equal(weight, others[key]) for key, weight in some.items())


def sample(model, motion, control, steps=2):
    """Sample a clip under a layout; one Euler step gives what the network makes of pure noise."""
    applied = model if motion is None else apply_motion(model, motion, 1.0, SCHEDULES[SCHEDULE])
    positive, negative = controlled(control, hints(FRAMES))
    return run(applied, FRAMES, steps, positive=positive, negative=negative)


def wanted(steps=1, name="adapted", clips=True, **loop):
    asked = request("adapt", name, steps)
    config = asked.config if clips else replace(asked.config, num_frames=1, batch=2)
    return replace(asked, config=replace(config, loop=replace(config.loop, **loop)))


@every_kind
@pytest.mark.parametrize("with_motion", [True, False])
def test_the_trained_network_does_what_the_stock_nodes_do(model, motion, kind, with_motion):
    motion, control = motion if with_motion else None, KINDS[kind]()
    denoised = sample(model, motion, control, steps=1)
    applied = model if motion is None else apply_motion(model, motion, 1.0, SCHEDULES[SCHEDULE])
    sigma = applied.get_model_object("model_sampling").sigma_max
    with torch.inference_mode(False), torch.no_grad():
        own = trainable(model, motion, torch.float32, torch.device("cpu"), gradient_checkpointing=False)
        own.control = ControlNet(**CONFIG, hint_channels=3, num_heads=2, operations=comfy.ops.disable_weight_init)
        own.control.load_state_dict(whole_weights(control, model))
        positive = controlled(control, hints(FRAMES))[0][0][0].clone()
        x, hint = noise_for(FRAMES) * (1 + sigma**2).sqrt(), hints(FRAMES).movedim(-1, 1)
        z = x / (1 + sigma**2).sqrt()
        if motion is None:
            prediction = own(z, torch.full((FRAMES,), 999), positive.repeat(FRAMES, 1, 1), hint=hint)
        else:
            prediction = own(z.unsqueeze(0), torch.tensor([999]), positive, hint=hint.unsqueeze(0))[0]
    expected = model.get_model_object("latent_format").process_out(x - sigma * prediction)
    assert relative_rms(denoised, expected) < 1e-4
    assert relative_rms(run(applied, FRAMES, 1), expected) > 1e-2


@every_kind
@pytest.mark.parametrize("with_motion", [True, False])
def test_the_control_net_alone_changes_and_what_was_given_stays(model, motion, kind, with_motion):
    given, motion = KINDS[kind](), motion if with_motion else None
    before = weights_in(given), weights_of(model)
    picture = sample(model, motion, given)
    adapted, losses = adapt_control_net(model, motion, given, data(hints=True), wanted(2, clips=with_motion))
    assert len(losses) == 2
    assert type(adapted) is type(given) and adapted is not given
    assert equal(weights_in(given), before[0])
    assert equal(model.model.state_dict(), before[1])
    assert torch.equal(sample(model, motion, given), picture)
    old, new = whole_weights(given, model), whole_weights(adapted, model)
    assert old.keys() == new.keys() and not any(torch.equal(old[key], new[key]) for key in old)
    changed = sample(model, motion, adapted)
    assert changed.isfinite().all() and relative_rms(changed, picture) > 1e-3


@every_kind
def test_without_a_step_worth_the_name_it_comes_out_as_it_went_in(model, motion, kind):
    given = KINDS[kind]()
    adapted, _ = adapt_control_net(model, motion, given, data(hints=True), wanted(learning_rate=1e-12))
    assert relative_rms(sample(model, motion, adapted), sample(model, motion, given)) < 1e-4


def test_no_teacher_is_in_memory(model, motion):
    """The loop has one UNet, one motion module and one ControlNet, and of the last alone an average."""
    def alive(kind):
        return sum(issubclass(type(thing), kind) for thing in gc.get_objects())

    seen = {}

    def look(stage, setting):
        seen["stage"] = stage
        seen["alive"] = {kind: alive(kind) - count for kind, count in before.items()}
        stage.loss(0).backward()
        return []

    given = control_net()
    before = {kind: alive(kind) for kind in (UNetModel, ControlNet, Trainable)}
    control_nets.adapt_control_net(model, motion, given, data(hints=True), wanted(), look)
    stage = seen["stage"]
    assert stage.teacher == {}
    assert seen["alive"] == {UNetModel: 1, ControlNet: 1, Trainable: 1}
    assert stage.average.keys() == stage.parameters.keys() == {PREFIX + key for key in given.control_model.state_dict()}
    # The middle has one token here, which attends to itself whatever its query and key are.
    alone = [f"middle_block.1.transformer_blocks.0.attn1.to_{part}.weight" for part in "qk"]
    assert all(p.grad.abs().sum() > 0 for name, p in stage.parameters.items() if not name.endswith(tuple(alone)))


def test_gradient_checkpointing_changes_no_gradient_and_keeps_less(model, motion):
    def gradients(gradient_checkpointing):
        own = trainable(model, motion, torch.float32, torch.device("cpu"), gradient_checkpointing)
        own.control = ControlNet(**CONFIG, hint_channels=3, num_heads=2, operations=comfy.ops.disable_weight_init)
        own.control.load_state_dict(whole_weights(control_net(), model))
        kept = 0

        def pack(tensor):
            nonlocal kept
            kept += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            prediction = own(noise_for(FRAMES).unsqueeze(0), torch.tensor([499]), torch.ones(1, 5, 64),
                             hint=hints(FRAMES).movedim(-1, 1).unsqueeze(0))
        prediction.square().sum().backward()
        return {name: p.grad for name, p in own.control.named_parameters()}, kept

    with torch.inference_mode(False):
        (plain, most), (again, least) = gradients(False), gradients(True)
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, rtol=1e-3, atol=1e-5 * gradient.abs().max().item())
    assert least < most / 3


def test_a_run_in_half_precision_works(model, motion):
    half = wanted(precision="bfloat16")
    _, losses = adapt_control_net(model, motion, control_net(), data(hints=True), half)
    assert torch.tensor(losses).isfinite().all()


def test_a_resume_goes_on_exactly(model, motion):
    given = control_net()
    whole, losses = adapt_control_net(model, motion, given, data(hints=True), wanted(2, "whole"))
    adapt_control_net(model, motion, given, data(hints=True), wanted(1, "cut"))
    assert torch.load(checkpoint_path("cut"))["step"] == 1
    resumed, again = adapt_control_net(model, motion, given, data(hints=True), wanted(2, "cut"))
    assert again == losses
    assert equal(weights_in(resumed), weights_in(whole))


def test_what_cannot_be_adapted_is_refused(model, motion):
    def adapt(control, given=None):
        adapt_control_net(model, motion, control, given or data(hints=True), wanted())

    with pytest.raises(ValueError, match="is a T2IAdapter of a kind that is not known"):
        adapt(t2i_adapter())
    shuffle = control_net()
    shuffle.global_average_pooling = True
    with pytest.raises(ValueError, match="nor one for shuffled pictures"):
        adapt(shuffle)
    with pytest.raises(ValueError, match=r"does not fit the MODEL's UNet: \d+ of \d+ weights .* such as input_blocks"):
        adapt(detectable())
    examples = data(hints=True)
    with pytest.raises(ValueError, match="there are 1 hints and 2 clips"):
        adapt(control_net(), replace(examples, hints=examples.hints[:1]))
    with pytest.raises(ValueError, match="the hint of clip 2 has 2 frames and the clip 3"):
        adapt(control_net(), replace(examples, hints=[examples.hints[0], examples.hints[1][:2]]))
    with pytest.raises(ValueError, match="is a T2IAdapter"):
        save_control_net(t2i_adapter(), "mine")
    with pytest.raises(Exception, match="outside the output folder"):
        save_control_net(control_net(), "../outside")


def detectable():
    """Return a ControlNet of the least size that the stock loader recognises by its weights."""
    config = {**CONFIG, "model_channels": 64, "channel_mult": (1, 1, 1, 1)}
    network = ControlNet(**config, hint_channels=3, num_heads=1, operations=comfy.ops.disable_weight_init)
    return comfy.controlnet.ControlNet(randomise(network, 3).half(), load_device=torch.device("cpu"))


@pytest.mark.parametrize("make", [detectable, control_lora])
def test_the_stock_loader_reads_what_was_saved(make, output):
    control = make()
    if make is detectable:
        control.control_model.dtype = torch.float16
    path = save_control_net(control, "controlnet/mine")
    assert path == output / "controlnet" / "mine_00001_.safetensors"
    loaded = comfy.controlnet.load_controlnet(str(path))
    assert type(loaded) is type(control)
    assert equal(weights_in(loaded), weights_in(control))
