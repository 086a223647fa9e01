"""The nodes: each declares its sockets, checks, calls, and returns."""

from .demo import LoadDemoModel
from .image_to_video import ImageToVideo
from .motion import ApplyMotionModule, LoadMotionModule
from .prompts import PromptSchedule
from .sampling import Sampler, Scheduler

NODES = [LoadMotionModule, ApplyMotionModule, ImageToVideo, PromptSchedule, Scheduler, Sampler, LoadDemoModel]
