"""The nodes: each declares its sockets, checks, calls, and returns."""

from .demo import LoadDemoModel
from .image_to_video import ImageToVideo
from .motion import ApplyMotionModule, LoadMotionModule
from .sampling import Sampler, Scheduler
from .training import AdaptAdapter, DistillMotionModule, DistillSpatialLoRA, SaveMotionModule

NODES = [LoadMotionModule, ApplyMotionModule, ImageToVideo, Scheduler, Sampler, LoadDemoModel, DistillSpatialLoRA,
         DistillMotionModule, AdaptAdapter, SaveMotionModule]
