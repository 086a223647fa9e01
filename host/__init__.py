"""The seam: the only package that imports ComfyUI."""
