"""The sizes of the demo model's networks, and the tokens that its text encoder reads."""

from __future__ import annotations

from ..motion.module import MotionConfig
from .tokenizer import CONTEXT_DIM, MAX_TOKENS, VOCABULARY, WordTokenizer

START, END = VOCABULARY.index("<start>"), VOCABULARY.index("<end>")

CHANNELS, FACTORS = 64, (1, 2, 1, 1)
"""Of the UNet's first level, and the factors of all levels."""
UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": CHANNELS, "channel_mult": FACTORS,
    "num_res_blocks": [2, 2, 2, 2], "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0], "context_dim": CONTEXT_DIM,
    "use_spatial_transformer": True, "use_linear_in_transformer": False, "use_temporal_attention": False,
    "adm_in_channels": None, "use_checkpoint": False, "legacy": False,
}
"""SD1.5's layout, resnet for resnet, in a fifth of its channels at first. Wider levels below the second cost no time,
but as many bits in every motion module and ControlNet as here, and taught nothing more in the first minutes."""
NUM_HEADS = 2
"""SD1.5 has 8; a head of 32 channels at least is quick."""

TEXT = {
    "num_hidden_layers": 2, "hidden_size": CONTEXT_DIM, "num_attention_heads": 4, "intermediate_size": 4 * CONTEXT_DIM,
    "hidden_act": "quick_gelu", "max_position_embeddings": MAX_TOKENS, "eos_token_id": END,
    "vocab_size": len(VOCABULARY),
}
"""CLIP's text model with two of its layers: what follows a word, the padding included, knows the words before it."""

MOTION = MotionConfig(channels=tuple(CHANNELS * factor for factor in FACTORS), heads=4)
"""The motion module that fits this UNet, with all 21 sites."""


def tokenise(caption: str) -> list[int]:
    """Return the caption's tokens, cut and padded to MAX_TOKENS as the host does it; for training."""
    tokens = WordTokenizer()(caption)["input_ids"][:MAX_TOKENS - 1]
    tokens += [END] * (MAX_TOKENS - len(tokens))
    return tokens
