"""The nodes: each declares its sockets, checks, calls, and returns."""

from .demo import LoadDemoModel
from .motion import ApplyMotionModule, LoadMotionModule
from .sampling import Sampler, Scheduler

NODES = [LoadMotionModule, ApplyMotionModule, Scheduler, Sampler, LoadDemoModel]
