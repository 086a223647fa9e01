"""The image model's training: what it reads, what it computes, and what it leaves behind."""

import random
from functools import partial

import comfy.sd1_clip
import torch
from animatelcm.demo import network
from animatelcm.demo.captions import caption
from animatelcm.demo.tokenizer import CONTEXT_DIM, MAX_TOKENS, WordTokenizer
from animatelcm.motion.module import MotionModule
from animatelcm.tests.support import randomise
from animatelcm.tools.demo import codec_training, image_training
from animatelcm.tools.demo.denoising import ALPHAS_CUMPROD
from animatelcm.tools.demo.image_training import (
    captions_of,
    encode_text,
    export,
    frames,
    held_out_errors,
    image_loss,
    new_model,
)
from animatelcm.tools.demo.latent_cache import BLOCK, Cache, Source
from animatelcm.tools.demo.sheets import PROMPTS, Looks, sample
from animatelcm.training import ema
from safetensors.torch import load_file

TINY = network.UNET | {"model_channels": 32, "channel_mult": (1, 1, 1, 1)}


def tiny():
    return randomise(new_model(0, TINY), 0)


def cache(source):
    return Cache(source, torch.randn(source.shape, generator=torch.Generator().manual_seed(0)).half())


def test_tokens_are_those_of_the_host():
    host = comfy.sd1_clip.SDTokenizer(tokenizer_path="", tokenizer_class=WordTokenizer, max_length=MAX_TOKENS,
                                      embedding_size=CONTEXT_DIM, pad_with_end=True)
    for text in ("", *PROMPTS, caption(Source("any", BLOCK).scene(3), random.Random(0))):
        assert network.tokenise(text) == [token for token, _ in host.tokenize_with_weights(text)[0]]
    assert len(network.tokenise("a penguin " * 30)) == MAX_TOKENS


def test_captions_are_encoded_as_by_the_host_and_with_a_gradient():
    model = tiny()
    tokens = torch.tensor([network.tokenise(said) for said in PROMPTS[:3]])
    with torch.no_grad():
        expected = model.text(tokens)[0]
    encoded = encode_text(model.text, tokens)
    assert torch.allclose(encoded, expected, atol=1e-5)
    encoded.square().sum().backward()
    assert all(layer.self_attn.q_proj.weight.grad.abs().max() > 0 for layer in model.text.text_model.encoder.layers)


def test_a_step_is_known_by_its_number():
    model, frames = tiny(), cache(Source("images", BLOCK))
    with torch.no_grad():
        first, again, other = (float(image_loss(model, frames, 0, step, 4)) for step in (7, 7, 8))
    assert first == again != other
    said = captions_of(frames.source, list(range(BLOCK)) * 10, random.Random(0))
    assert 0.05 < said.count("") / len(said) < 0.15


def test_sampling_ends_at_what_the_network_sees_in_the_noise():
    clean, noise = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0))

    def knows(z, timesteps, context):
        alpha = ALPHAS_CUMPROD[timesteps.long()].view(-1, 1, 1, 1)
        shown = context[:, :1, :1].unsqueeze(-1) * torch.cat([clean, clean])
        return alpha.sqrt() * (z - alpha.sqrt() * shown) / (1 - alpha).sqrt() - (1 - alpha).sqrt() * shown

    said, unsaid = torch.ones(3, 1, 1), torch.full((3, 1, 1), 0.5)
    assert torch.allclose(sample(knows, said, said, noise, steps=5), clean, atol=1e-4)
    # Guidance goes on from the empty prompt's picture to the prompt's, and beyond.
    assert torch.allclose(sample(knows, said, unsaid, noise, steps=5, cfg=1.0), clean, atol=1e-4)
    assert torch.allclose(sample(knows, said, unsaid, noise, steps=1, cfg=3.0), 2 * clean, atol=1e-4)


def test_a_look_exports_the_average_and_draws_a_sheet(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(image_training, "sample", lambda model, context, empty, noise: noise)
    model = tiny()
    average = ema.copies(dict(model.named_parameters()))
    with torch.no_grad():
        model.unet.out[2].weight.add_(1.0)
    codec = codec_training.new_codec(0).eval().requires_grad_(False)
    errors = partial(held_out_errors, cache(Source("held", BLOCK)))
    Looks("image", model, average, tmp_path, codec, export, errors, frames)(12)
    assert "image step 12, errors at 100: " in capsys.readouterr().out
    assert (tmp_path / "sheets" / "image-000012.png").stat().st_size > 1000
    stored = load_file(tmp_path / "weights" / "unet.safetensors")
    assert torch.allclose(stored["out.2.weight"].float(), average["unet.out.2.weight"], atol=1e-2)
    model.text.load_state_dict(load_file(tmp_path / "weights" / "text.safetensors"))


def test_everything_embedded_stays_small():
    """Three motion modules and two ControlNets, each of less than half the UNet, belong to it, in half precision."""
    model, module, codec = new_model(0), MotionModule(network.MOTION), codec_training.new_codec(0)
    unet, text, motion, vae = (sum(weight.numel() for weight in part.parameters())
                               for part in (model.unet, model.text, module, codec))
    assert 2 * (unet + text + vae + 3 * motion + 2 * unet // 2) < 58e6
