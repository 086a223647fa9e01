"""The embedded default: a tiny world of moving shapes and the weights trained on it."""
