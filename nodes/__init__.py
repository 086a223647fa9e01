"""The nodes: each declares its sockets, checks, calls, and returns.

What a node runs is imported when it runs, or every start of ComfyUI would wait for it.
"""

from .adaptation import AdaptControlNet, SaveControlNet
from .colours import MatchColour
from .control_strength import ControlNetStrength
from .controls import AttentionScale, MotionControl
from .curves import FrameValues
from .demo import LoadDemoModel
from .image_to_video import ImageToVideo
from .long_video import LongVideo
from .motion import ApplyMotionModule, LoadMotionModule
from .motion_lora import LoadMotionLoRA
from .prompts import PromptSchedule
from .rolling import RecordVideo, RollingSampler
from .sampling import Sampler, Scheduler
from .spatial_lora import LoadSpatialLoRA
from .sprites import SpriteSheet, SubjectMask
from .text_to_video import TextToVideo
from .training import AdaptAdapter, AdaptMotionModule, DistillMotionModule, DistillSpatialLoRA, SaveMotionModule

NODES = [
    LoadMotionModule, TextToVideo, ImageToVideo, ApplyMotionModule, LongVideo, Scheduler, Sampler, RollingSampler,
    RecordVideo, LoadDemoModel, LoadMotionLoRA, MotionControl, AttentionScale, ControlNetStrength, FrameValues,
    PromptSchedule, MatchColour, SubjectMask, SpriteSheet,
    DistillSpatialLoRA, DistillMotionModule, AdaptAdapter, AdaptMotionModule, AdaptControlNet,
    SaveMotionModule, SaveControlNet, LoadSpatialLoRA,
]
