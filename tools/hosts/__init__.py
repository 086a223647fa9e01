"""Real ComfyUI hosts for `dev.py`: environments, releases, the server process. Standard library only."""
