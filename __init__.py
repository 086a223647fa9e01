"""AnimateLCM for ComfyUI: few-step video from Stable Diffusion 1.5 checkpoints."""

import sys
from pathlib import Path

from comfyui_version import __version__ as comfyui_version

from .host.requirements import check_only_install, check_version

# Before the host's node interface is imported, which an old host may not have.
check_version(comfyui_version)

from comfy_api.latest import ComfyExtension, io  # noqa: E402

WEB_DIRECTORY = "./web"


class AnimateLCMExtension(ComfyExtension):
    async def on_load(self) -> None:
        from .host.folders import register_folders
        from .host.replacements import register_replacements
        from .host.trained import register_trained

        register_folders()
        register_trained()
        await register_replacements()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        from .nodes import NODES

        # The host's own `nodes`, which is loading this pack right now.
        registered = getattr(sys.modules.get("nodes"), "NODE_CLASS_MAPPINGS", {})
        check_only_install("AnimateLCM_LoadMotionModule", registered, str(Path(__file__).parent))
        return NODES


def comfy_entrypoint() -> AnimateLCMExtension:
    return AnimateLCMExtension()
