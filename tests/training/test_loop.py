"""The loop: the same bits after a resume, whole checkpoints, and a stop where the loss goes wrong."""

from contextlib import closing
from dataclasses import replace

import pytest
import torch
from animatelcm.storage.locks import HeldError
from animatelcm.tests.training import toys
from animatelcm.training import ema
from animatelcm.training.checkpoints import CheckpointError
from animatelcm.training.config import LoopConfig
from animatelcm.training.loop import DivergenceError, nothing_left, train
from animatelcm.training.origin import Origin
from animatelcm.training.processes import shared
from animatelcm.training.stages import motion_stage
from animatelcm.training.trainer import MOST_LEFT_OUT, Stage, learning_rate
from torch import nn

CONFIG = LoopConfig(steps=6, learning_rate=1e-2, warmup=2, accumulation=2, rate="cosine", save_every=2)


def bits(stage):
    return {**stage.parameters, **{f"average {name}": weight for name, weight in stage.average.items()}}


def same(a, b):
    return all(torch.equal(value, b[name]) for name, value in a.items())


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("stop", [3, 4])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, stop, precision):
    """Stopped right after a checkpoint, or between two: closing writes one."""
    config = LoopConfig(steps=6, learning_rate=1e-2, warmup=2, accumulation=2, save_every=2, precision=precision)
    whole = motion_stage(toys.setting("motion", loop=config))
    reports = list(train(whole, config))
    path = tmp_path / "motion.pt"
    with closing(train(motion_stage(toys.setting("motion", loop=config)), config, path)) as steps:
        first = [next(steps) for _ in range(stop)]
    second = motion_stage(toys.setting("motion", loop=config))
    rest = list(train(second, config, path))
    assert [report.step for report in first + rest] == [1, 2, 3, 4, 5, 6]
    assert [report.loss for report in first + rest] == [report.loss for report in reports]
    assert same(bits(whole), bits(second))


def regression(loss=None, weight=None):
    """Return a stage of one weight that is to become 3."""
    weight = nn.Parameter(torch.zeros(1)) if weight is None else weight
    parameters = {"weight": weight}
    return Stage("regression", parameters, loss or (lambda number: (weight - 3).square().sum()), parameters,
                 ema.copies(parameters))


def breaking_off(reason, at):
    """Return a stage of one weight whose loss of a batch raises `reason`."""
    weight = nn.Parameter(torch.zeros(1))

    def loss(number):
        if number == at:
            raise reason
        return (weight - 3).square().sum()

    return regression(loss=loss, weight=weight)


@pytest.mark.parametrize("reason, kept", [(KeyboardInterrupt, 5), (RuntimeError, 4)])
def test_an_interrupt_within_a_step_keeps_the_whole_ones_and_an_error_the_last_checkpoint(tmp_path, reason, kept):
    """The host interrupts with a BaseException that may come from any of its layers."""
    path, config = tmp_path / "s.pt", LoopConfig(steps=7, learning_rate=1e-2, save_every=2)
    with pytest.raises(reason):
        list(train(breaking_off(reason, at=5), config, path))
    assert torch.load(path)["step"] == kept
    assert [path.name for path in tmp_path.iterdir()] == ["s.pt"]
    resumed, whole = regression(), regression()
    list(train(resumed, config, path))
    list(train(whole, config))
    assert same(bits(whole), bits(resumed))


def test_an_interrupt_while_the_weights_change_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    calls = []

    def update(*args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(ema, "update", update)
    with pytest.raises(KeyboardInterrupt):
        list(train(regression(), LoopConfig(steps=9, learning_rate=1e-2, save_every=2), tmp_path / "s.pt"))
    assert torch.load(tmp_path / "s.pt")["step"] == 2


def test_accumulated_batches_are_averaged():
    weight = nn.Parameter(torch.zeros(1))
    parameters = {"weight": weight}
    seen = []

    def loss(number):
        seen.append(number)
        return (weight * (number + 1)).sum() + 1

    config = LoopConfig(steps=2, learning_rate=1e-2, accumulation=3, clip=1e9)
    reports = list(train(Stage("s", parameters, loss, parameters, ema.copies(parameters)), config))
    assert seen == [0, 1, 2, 3, 4, 5]
    assert [report.gradient_norm for report in reports] == [2.0, 5.0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run(tmp_path, bad):
    weight = nn.Parameter(torch.zeros(1))
    parameters = {"weight": weight}
    stage = Stage("motion", parameters, lambda number: (weight - 3).square().sum() * (bad if number == 3 else 1),
                  parameters, ema.copies(parameters))
    path = tmp_path / "motion.pt"
    with pytest.raises(DivergenceError, match=f"motion: the loss is {bad} at step 4.*last good checkpoint is .*motion"):
        list(train(stage, LoopConfig(steps=9, learning_rate=1e-2, save_every=2), path))
    assert torch.load(path)["step"] == 2
    assert weight.isfinite().all()


def test_a_loss_that_grows_without_end_stops_the_run(tmp_path):
    weight = nn.Parameter(torch.ones(1))
    parameters = {"weight": weight}
    stage = Stage("motion", parameters, lambda number: weight.sum() * 0 + 1.2**number, parameters,
                  ema.copies(parameters))
    with pytest.raises(DivergenceError, match="there is no checkpoint yet"):
        list(train(stage, LoopConfig(steps=200, learning_rate=1e-2), tmp_path / "m.pt"))


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    path, config = tmp_path / "s.pt", LoopConfig(steps=2, learning_rate=1e-2)
    list(train(regression(), config, path))
    other = {"other": nn.Parameter(torch.zeros(1))}
    with pytest.raises(CheckpointError, match="s.pt belongs to another training: its network differs in 2 tensors"):
        list(train(Stage("s", other, lambda number: other["other"].sum(), other, ema.copies(other)), config, path))
    path.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="is no readable checkpoint"):
        list(train(regression(), config, path))


def test_several_processes_share_their_gradients():
    """What `synchronise` makes of the gradients is what the optimiser takes."""
    stage = regression()
    list(train(stage, LoopConfig(steps=1, learning_rate=1e-2, weight_decay=0.0),
               synchronise=lambda gradients: [gradient.neg_() for gradient in gradients]))
    assert stage.parameters["weight"].item() == pytest.approx(-1e-2)


def test_mixed_precision_reaches_the_layers():
    layer, seen = nn.Linear(2, 2), []
    parameters = dict(layer.named_parameters())

    def loss(number):
        y = layer(torch.ones(1, 2))
        seen.append(y.dtype)
        return y.float().sum()

    list(train(Stage("s", parameters, loss, parameters, ema.copies(parameters)),
               LoopConfig(steps=1, learning_rate=1e-2, precision="bfloat16")))
    assert seen == [torch.bfloat16]
    assert layer.weight.dtype == torch.float32


def test_the_rate_rises_and_falls():
    rates = [learning_rate(step, CONFIG) for step in range(6)]
    assert rates[:3] == [5e-3, 1e-2, 1e-2]
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert learning_rate(6, CONFIG) == 0


def test_the_loop_averages_and_reports():
    stage = regression()
    reports = list(train(stage, LoopConfig(steps=1, learning_rate=1e-2, ema=0.5, weight_decay=0.0)))
    assert stage.average["weight"].item() == pytest.approx(0.5 * stage.parameters["weight"].item())
    assert (reports[0].step, reports[0].loss, reports[0].gradient_norm) == (1, 9.0, 6.0)
    assert reports[0].seconds > 0


class _BadGradient(torch.autograd.Function):
    """The identity, whose gradient is what it is given."""

    @staticmethod
    def forward(ctx, x, gradient):
        ctx.gradient = gradient
        return x.clone()

    @staticmethod
    def backward(ctx, above):
        return above * ctx.gradient, None


def with_gradients(gradient_of):
    """Return a stage whose loss is finite, while the gradient of each batch is multiplied by a number."""
    weight = nn.Parameter(torch.zeros(1))
    return regression(lambda number: (_BadGradient.apply(weight, gradient_of(number)) - 3).square().sum(), weight)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [3, 5])
def test_a_gradient_that_is_no_number_changes_nothing_and_stops_the_run(tmp_path, bad, at, precision):
    """Also in the last step, after which the weights would be handed out."""
    stage, path = with_gradients(lambda number: bad if number == at else 1.0), tmp_path / "s.pt"
    config = LoopConfig(steps=6, learning_rate=1e-2, save_every=2, precision=precision)
    with pytest.raises(DivergenceError, match=f"the loss is 8.* and its gradient has the norm {bad} at step {at + 1}"):
        list(train(stage, config, path))
    kept = torch.load(path)
    assert kept["step"] == at // 2 * 2
    assert all(weight.isfinite().all() for weight in (*kept["network"].values(), *kept["average"].values()))
    assert all(weight.isfinite().all() for weight in bits(stage).values())


def test_float16_leaves_out_steps_that_overflow_and_goes_on(tmp_path):
    stage = with_gradients(lambda number: float("inf") if number in (1, 2, 4) else 1.0)
    config = LoopConfig(steps=6, learning_rate=1e-2, precision="float16", weight_decay=0.0)
    reports = list(train(stage, config, tmp_path / "s.pt"))
    assert [report.gradient_norm < float("inf") for report in reports] == [True, False, False, True, False, True]
    assert stage.parameters["weight"].item() > 0.02
    assert all(weight.isfinite().all() for weight in bits(stage).values())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_float16_that_leaves_out_every_step_ends_with_an_error(tmp_path, bad):
    stage, path = with_gradients(lambda number: bad), tmp_path / "s.pt"
    config = LoopConfig(steps=200, learning_rate=1e-2, precision="float16")
    with pytest.raises(DivergenceError, match=f"out of float16's range for {MOST_LEFT_OUT} steps in a row at step "
                                              f"{MOST_LEFT_OUT}.* Train in bfloat16 or float32"):
        list(train(stage, config, path))
    assert all(weight.isfinite().all() for weight in bits(stage).values())


def test_weights_that_are_no_numbers_are_never_kept(tmp_path):
    """A finite gradient can still throw a weight out of range; here another hand does."""
    stage, path = regression(), tmp_path / "s.pt"
    with pytest.raises(DivergenceError, match="a weight, its average or its moments are no numbers any more at step 4"):
        for report in train(stage, LoopConfig(steps=9, learning_rate=1e-2, save_every=2), path):
            if report.step == 3:
                stage.average["weight"].fill_(float("nan"))
    assert torch.load(path)["step"] == 2


def test_an_interrupt_keeps_no_weights_that_are_no_numbers(tmp_path):
    stage, path = regression(), tmp_path / "s.pt"
    with closing(train(stage, LoopConfig(steps=9, learning_rate=1e-2, save_every=2), path)) as reports:
        for _ in range(3):
            next(reports)
        stage.average["weight"].fill_(float("nan"))
    assert torch.load(path)["step"] == 2


@pytest.mark.parametrize("part", [
    lambda state: state["average"]["weight"], lambda state: state["network"]["weight"],
    lambda state: state["optimiser"]["state"][0]["exp_avg"],
    lambda state: state["optimiser"]["state"][0]["exp_avg_sq"]], ids=["average", "network", "mean", "square"])
def test_a_checkpoint_with_weights_that_are_no_numbers_is_refused(tmp_path, part):
    path, config = tmp_path / "s.pt", LoopConfig(steps=2, learning_rate=1e-2)
    list(train(regression(), config, path))
    state = torch.load(path)
    part(state).fill_(float("nan"))
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="s.pt holds weights that are no numbers"):
        list(train(regression(), LoopConfig(steps=4, learning_rate=1e-2), path))


def test_a_first_loss_that_is_no_number_is_not_blamed_on_the_rate():
    weight = nn.Parameter(torch.zeros(1))
    stage = regression(lambda number: weight.sum() * float("nan"), weight)
    for precision, more in (("float32", "MODEL$"), ("bfloat16", "MODEL, or train in float32 instead of bfloat16$")):
        with pytest.raises(DivergenceError, match="the learning rate is not the cause: look at data and " + more):
            list(train(stage, LoopConfig(steps=2, learning_rate=1e-2, precision=precision)))


def test_a_run_goes_on_with_more_steps_and_says_when_there_is_nothing_left(tmp_path):
    path, config = tmp_path / "s.pt", LoopConfig(steps=2, learning_rate=1e-2)
    list(train(regression(), config, path))
    assert list(train(regression(), config, path)) == []
    assert nothing_left(config).startswith("all 2 steps are done already; nothing was trained")
    longer, whole = replace(config, steps=4, save_every=1), regression()
    resumed = regression()
    assert [report.step for report in train(resumed, longer, path)] == [3, 4]
    list(train(whole, longer))
    assert same(bits(whole), bits(resumed))
    with pytest.raises(CheckpointError, match="has 4 steps behind it, and 2 are asked for"):
        list(train(regression(), config, path))


@pytest.mark.parametrize("changes, said", [
    ({"learning_rate": 2e-2}, "learning_rate 0.02, was 0.01"), ({"ema": 0.5}, "ema 0.5, was 0.95"),
    ({"accumulation": 2}, "batches of a step 2, was 1"),
    ({"precision": "bfloat16"}, "precision bfloat16, was float32")])
def test_another_setting_is_another_run_even_where_all_steps_are_done(tmp_path, changes, said):
    path, config = tmp_path / "s.pt", LoopConfig(steps=1, learning_rate=1e-2)
    list(train(regression(), config, path))
    before, stage = path.read_bytes(), regression()
    with pytest.raises(CheckpointError, match=said):
        list(train(stage, replace(config, **changes), path))
    assert path.read_bytes() == before and stage.parameters["weight"] == 0
    assert [file.name for file in tmp_path.iterdir()] == ["s.pt"]


def test_another_origin_is_another_run(tmp_path):
    path, config = tmp_path / "s.pt", LoopConfig(steps=1, learning_rate=1e-2)
    mine, yours = (replace(regression(), origin=Origin().and_contents(data=name)) for name in ("mine", "yours"))
    list(train(mine, config, path))
    with pytest.raises(CheckpointError, match="s.pt belongs to another training: other data"):
        list(train(yours, config, path))


def test_a_cosine_is_over_the_steps_that_it_was_begun_with(tmp_path):
    path = tmp_path / "s.pt"
    list(train(regression(), CONFIG, path))
    with pytest.raises(CheckpointError, match="steps 8, was 6"):
        list(train(regression(), replace(CONFIG, steps=8), path))
    assert "set more steps" not in nothing_left(CONFIG)


def test_processes_and_accumulation_make_up_for_one_another(tmp_path):
    path, config = tmp_path / "s.pt", LoopConfig(steps=1, learning_rate=1e-2, accumulation=4)
    list(train(regression(), config, path))
    halved = shared(regression(), accumulation=2, rank=0, processes=2)
    assert list(train(halved, replace(config, accumulation=2), path)) == []


def test_a_name_is_for_one_run_at_a_time(tmp_path):
    path, config = tmp_path / "s.pt", LoopConfig(steps=3, learning_rate=1e-2)
    with closing(train(regression(), config, path)) as first:
        next(first)
        with pytest.raises(HeldError, match="s.pt is in use by another run: process .* Wait until it has ended"):
            next(train(regression(), config, path))
        # A process that writes no checkpoint shares the run of one that does.
        assert next(train(regression(), config, path, writes=False)).step == 1
    assert [report.step for report in train(regression(), config, path)] == [2, 3]


def test_what_a_killed_run_left_of_its_checkpoint_is_cleared_and_nothing_else(tmp_path):
    path, config = tmp_path / "s.pt", LoopConfig(steps=1, learning_rate=1e-2)
    for name in (".s.pt.4711.0123abcd.tmp", ".t.pt.4711.0123abcd.tmp"):
        (tmp_path / name).write_bytes(b"half")
    list(train(regression(), config, path, writes=False))
    assert len(list(tmp_path.iterdir())) == 2, "a process that does not write leaves the one that does alone"
    list(train(regression(), config, path))
    assert {file.name for file in tmp_path.iterdir()} == {"s.pt", ".t.pt.4711.0123abcd.tmp"}
