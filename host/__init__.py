"""The seam to ComfyUI: what inference needs; training is in `host/training`."""
