import pytest
import torch
from animatelcm.training import ema


def test_0_copies_1_keeps_and_between_is_between():
    old, new = {"a": torch.randn(50)}, {"a": torch.randn(50)}
    for keep, expected in ((0, new["a"]), (1, old["a"])):
        average = ema.copies(old)
        ema.update(average, new, keep)
        assert torch.equal(average["a"], expected)
    average = ema.copies(old)
    ema.update(average, new, 0.9)
    torch.testing.assert_close(average["a"], 0.9 * old["a"] + 0.1 * new["a"])


def test_other_names_are_refused():
    with pytest.raises(KeyError, match="differ in 1 names, such as b"):
        ema.update({"a": torch.zeros(1)}, {"a": torch.zeros(1), "b": torch.zeros(1)}, 0.5)


def test_an_average_starts_short_where_asked():
    assert ema.keep_at(0, 0.999, warmup=True) == 0.1
    assert ema.keep_at(10**6, 0.999, warmup=True) == ema.keep_at(0, 0.999, warmup=False) == 0.999
