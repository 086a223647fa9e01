"""A step of the optimiser: its numbers are those of the settings, in every precision and after a resume."""

from contextlib import closing

import pytest
import torch
from animatelcm.tests.training.test_loop import bits, regression, same
from animatelcm.training.config import LoopConfig
from animatelcm.training.loop import train
from torch import nn


def test_the_optimiser_is_adamw_with_the_numbers_of_the_settings():
    """Loshchilov & Hutter 2019, by hand."""
    config = LoopConfig(steps=5, learning_rate=1.0, betas=(0.6, 0.7), weight_decay=0.4, clip=1e9)
    stage = regression(weight=nn.Parameter(torch.ones(1)))
    list(train(stage, config))
    weight, mean, square = 1.0, 0.0, 0.0
    for step in range(1, 6):
        gradient = 2 * (weight - 3)
        mean, square = 0.6 * mean + 0.4 * gradient, 0.7 * square + 0.3 * gradient**2
        weight -= 0.4 * weight
        weight -= mean / (1 - 0.6**step) / (square / (1 - 0.7**step)) ** 0.5
    assert stage.parameters["weight"].item() == pytest.approx(weight, rel=1e-5)


def test_the_average_is_short_in_the_first_steps_alone_where_asked():
    stage, weights = regression(), []
    for _ in train(stage, LoopConfig(steps=3, learning_rate=1e-1, ema=0.99, ema_warmup=True)):
        weights.append(stage.parameters["weight"].item())
    average = 0.0
    for step, weight in enumerate(weights):
        keep = (step + 1) / (step + 10)
        average = keep * average + (1 - keep) * weight
    assert stage.average["weight"].item() == pytest.approx(average, rel=1e-5)


class _Overflow(torch.autograd.Function):
    """The identity, whose gradient is infinite above a limit, as in a type of few bits."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, above):
        return torch.where(above.abs() > 1e5, torch.inf, above)


def test_float16_goes_on_after_a_resume_with_the_factor_that_it_had_found(tmp_path):
    def overflowing():
        weight = nn.Parameter(torch.zeros(1))
        return regression(lambda number: (_Overflow.apply(weight) - 3).square().sum(), weight)

    config, path = LoopConfig(steps=6, learning_rate=1e-2, precision="float16"), tmp_path / "s.pt"
    whole, resumed = overflowing(), overflowing()
    norms = [report.gradient_norm for report in train(whole, config)]
    assert [norm < float("inf") for norm in norms] == [False, False, True, True, True, True]
    with closing(train(overflowing(), config, path)) as steps:
        first = [next(steps).gradient_norm for _ in range(4)]
    assert first + [report.gradient_norm for report in train(resumed, config, path)] == norms
    assert same(bits(whole), bits(resumed))


def test_float16_cuts_and_reports_the_gradient_without_the_factor():
    """Two steps of which the first has the longer gradient: cut to one norm, they would move the weight alike."""
    ends = []
    for precision in ("float32", "float16"):
        weight = nn.Parameter(torch.zeros(1))
        stage = regression(lambda number, weight=weight: weight.sum() * (10.0, 0.1)[number], weight)
        config = LoopConfig(steps=2, learning_rate=1e-2, precision=precision)
        norms = [report.gradient_norm for report in train(stage, config)]
        assert norms == pytest.approx([10.0, 0.1], rel=1e-3)
        ends.append(weight.item())
    assert ends[0] == pytest.approx(ends[1], rel=1e-3)
