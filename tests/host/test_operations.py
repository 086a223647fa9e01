"""The motion module's linear layer gives what torch's gives, by whatever route it takes."""

import pytest
import torch
from animatelcm.host.operations import operations
from torch.nn import functional as F


def layer(bias: bool = True, dtype: torch.dtype = torch.float32) -> operations.Linear:
    made = operations.Linear(48, 80, bias=bias, dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    made.load_state_dict({name: torch.randn(value.shape, generator=generator).to(dtype)
                          for name, value in made.state_dict().items()})
    return made.requires_grad_(False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 48), (3, 16, 48), (2, 3, 4, 48)])
def test_agrees_with_torch(shape, bias):
    linear, x = layer(bias), torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(linear(x), F.linear(x, linear.weight, linear.bias), rtol=1e-5, atol=1e-5)


def test_reads_strided_input():
    linear, x = layer(), torch.randn(48, 16, 3).permute(2, 1, 0)
    with torch.inference_mode():
        torch.testing.assert_close(linear(x), F.linear(x, linear.weight, linear.bias), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("storage", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_casts_other_storage_to_the_input(storage):
    linear, x = layer(dtype=storage), torch.randn(4, 48)
    with torch.inference_mode():
        expected = F.linear(x, linear.weight.float(), linear.bias.float())
        torch.testing.assert_close(linear(x), expected, rtol=1e-5, atol=1e-5)


def test_applies_the_hosts_weight_functions():
    linear, x = layer(), torch.randn(4, 48)
    linear.weight_function = [lambda weight: weight * 2]
    with torch.inference_mode():
        torch.testing.assert_close(
            linear(x), F.linear(x, linear.weight * 2, linear.bias), rtol=1e-5, atol=1e-5)


def test_keeps_gradients():
    linear, x = layer(), torch.randn(4, 48, requires_grad=True)
    linear(x).sum().backward()
    torch.testing.assert_close(x.grad, linear.weight.sum(0).expand(4, 48))
