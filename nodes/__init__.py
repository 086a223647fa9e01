"""The nodes: each declares its sockets, checks, calls, and returns."""

from .demo import LoadDemoModel
from .image_to_video import ImageToVideo
from .long_video import LongVideo
from .motion import ApplyMotionModule, LoadMotionModule
from .sampling import Sampler, Scheduler

NODES = [LoadMotionModule, ApplyMotionModule, ImageToVideo, LongVideo, Scheduler, Sampler, LoadDemoModel]
