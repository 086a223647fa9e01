"""Measurements as commands: speed, memory, agreement with other implementations, and runs at full size."""
