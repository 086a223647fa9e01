"""Talk to a running ComfyUI: turn workflow files into prompts, queue them, follow them, fetch the results.

Standard library only, so that a batch can be queued from any Python, also from another machine; with aiohttp, which
every ComfyUI's Python has, the steps of a run are shown too.
"""
