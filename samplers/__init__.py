"""Noise schedules, the consistency function and the samplers: pure torch, no host."""
