"""AnimateLCM for ComfyUI: few-step video from Stable Diffusion 1.5 checkpoints."""

from comfy_api.latest import ComfyExtension, io

WEB_DIRECTORY = "./web"


class AnimateLCMExtension(ComfyExtension):
    async def on_load(self) -> None:
        from .host.folders import register_folders

        register_folders()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        from .nodes import NODES

        return NODES


def comfy_entrypoint() -> AnimateLCMExtension:
    return AnimateLCMExtension()
