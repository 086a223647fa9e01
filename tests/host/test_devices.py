"""What nodes are given may lie on another device than what they make: all of it on a GPU under --gpu-only."""

import pytest
import torch
from animatelcm.host.colours import match_colours
from animatelcm.host.controls import Factor, StrengthControl, attention_scale_in, strength_in
from animatelcm.host.sprites import subject_mask, with_alpha
from animatelcm.keyframes.curve import parse_curve
from animatelcm.keyframes.travel import blends, travel
from animatelcm.samplers.lcm import renoised
from animatelcm.tests.host.devices import ELSEWHERE, Elsewhere, TwoDevices, elsewhere

FRAMES = 4
both_ways = pytest.mark.parametrize("mask_is_there", [False, True])


@pytest.fixture(autouse=True)
def two_devices():
    with TwoDevices():
        yield


def masks(there):
    found = torch.rand(FRAMES, 8, 8)
    return elsewhere(found) if there else found


def curve():
    return parse_curve("0: 0.2, 3: 1", 0, 10)


def test_the_second_device_is_one():
    with pytest.raises(RuntimeError, match="same device"):
        torch.ones(2) * elsewhere(torch.ones(2))
    assert (torch.ones(2).to(ELSEWHERE) * elsewhere(torch.ones(2))).device == ELSEWHERE
    assert (elsewhere(torch.ones(2)).cpu() * torch.ones(2)).device.type == "cpu"
    assert torch.ones(2, dtype=torch.half).to(elsewhere(torch.ones(1))).dtype == torch.float


@both_ways
@pytest.mark.parametrize("call_is_there", [False, True])
class TestMotion:
    """A call of the UNet on one device, curves in main memory, masks anywhere."""

    def call(self, there):
        return torch.zeros(FRAMES, 4, 8, 8).to(ELSEWHERE if there else "cpu")

    def check(self, factor, expected, there):
        assert isinstance(factor, Elsewhere) == there
        torch.testing.assert_close(factor.cpu(), expected)

    def test_strength(self, mask_is_there, call_is_there):
        mask = masks(mask_is_there)
        controls = [StrengthControl(curve=curve(), mask=mask), StrengthControl(mask=masks(not mask_is_there)[:1])]
        product = strength_in(self.call(call_is_there), 0.5, controls, FRAMES, {}, [True, True, False, True])
        frames = curve().over(FRAMES).view(-1, 1, 1, 1) * torch.tensor([0.5, 0.5, 0, 0.5]).view(-1, 1, 1, 1)
        self.check(product, frames * mask.cpu()[:, None] * controls[1].mask.cpu()[:, None], call_is_there)

    def test_attention(self, mask_is_there, call_is_there):
        factors = [Factor("a", 0.5, curve(), masks(mask_is_there)), Factor("b", mask=masks(not mask_is_there)),
                   Factor("c", curve=curve())]
        controls = [StrengthControl(attention=factor) for factor in factors]
        scale = attention_scale_in(self.call(call_is_there), controls, FRAMES, {})
        frames = 0.5 * curve().over(FRAMES).view(-1, 1, 1, 1)**2
        self.check(scale, frames * factors[0].mask.cpu()[:, None] * factors[1].mask.cpu()[:, None], call_is_there)


@both_ways
def test_pictures_and_masks(mask_is_there):
    def placed(tensor, there):
        return elsewhere(tensor) if there else tensor

    frames = placed(torch.rand(FRAMES, 8, 8, 3), not mask_is_there)
    background = placed(torch.rand(1, 8, 8, 3), mask_is_there)
    assert subject_mask(frames, "plain", 0.1, 0.1, background).device == frames.device
    assert with_alpha(frames, masks(mask_is_there)).device == frames.device
    assert match_colours(frames, background).device == frames.device


@both_ways
def test_numbers_over_the_frames(mask_is_there):
    x = masks(mask_is_there)[:, None]
    assert renoised(x, x, x.new_ones(()), x.new_ones(()), curve().over(FRAMES).view(-1, 1, 1, 1), x).device == x.device
    assert travel(x[:2], blends([0, 3], FRAMES, "linear")).device == x.device
