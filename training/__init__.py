"""Distillation and adaptation: losses, loop, data; pure torch, no host."""
