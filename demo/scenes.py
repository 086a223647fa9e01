"""The demo model's world: clips of small animated subjects over backgrounds whose texture moves, drawn from a seed.

A frame shows where its subject is heading: the subject looks or leans there, and leaves puffs behind. The image stage
learns the words for it, so that a motion module, which sees no text, can carry it through time.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from .backdrops import BACKDROPS, SIZE, Backdrop, column, spots
from .subjects import CELL, NAMES, PHASES, SUBJECTS, Subject, sprites

FRAMES = 16
"""Frames of a clip, at 8 a second."""
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), "still": (0, 0)}
"""Where a subject heads: x and y of its step, downwards positive."""
SMALLEST, LARGEST = 82.0, 108.0
"""Longer side of a subject, in pixels."""
WIDEST = 98.0
"""Most of the frame that a subject with all its limbs spans along its way, in pixels."""
SLOWEST, FASTEST = 1.5, 2.5
"""Speed of a subject that moves, in pixels per frame."""
BEHIND, BEYOND = 14.0, 5.0
"""Pixels that stay free behind a subject when it sets out, and that it may leave the frame by when it arrives."""
TILT, LEAN = 24.0, 15.0
"""Degrees by which a subject lifts or drops its nose, and leans towards its side."""
ANGLES = {"right": 0.0, "up right": 45.0, "up": 90.0, "left": 180.0, "down": -90.0}
PUFFS = 5


@dataclass(frozen=True)
class Scene:
    """What a clip shows."""

    subject: str
    way: str
    """Where it heads, one of `WAYS`."""
    backdrop: str
    size: float = 95.0
    """Longer side of the subject, in pixels."""
    mirrored: bool = False
    """Whether a subject looks to the other side than its sprite, where its way does not say it."""
    phase: int = 0
    """Phase of its loop in the first frame."""
    speed: float = 2.2
    """Pixels per frame, or as much as there is room for."""
    x: float = 0.5
    y: float = 0.5
    """Where its path lies in the room that there is, 0 to 1."""
    seed: int = 0
    """Of the background's colours and texture."""


@dataclass(frozen=True)
class Clip:
    """What was drawn, and what it was drawn from."""

    frames: Tensor
    """(f, 3, SIZE, SIZE), values 0 to 1."""
    backdrop: Tensor
    """The same without the subject, its shadow and its trail."""
    sprite: Tensor
    """The subject alone, (f, 4, SIZE, SIZE), colours multiplied by opacity."""
    centres: Tensor
    """Middle of the subject, (f, 2) as x and y in pixels."""

    @property
    def mask(self) -> Tensor:
        """How much of each pixel the subject covers, (f, SIZE, SIZE), 0 to 1."""
        return self.sprite[:, 3]


def random_scene(rng: random.Random) -> Scene:
    return Scene(
        subject=rng.choice(NAMES), way=rng.choice(list(WAYS)), backdrop=rng.choice(list(BACKDROPS)),
        size=rng.uniform(SMALLEST, LARGEST), mirrored=rng.random() < 0.5, phase=rng.randrange(PHASES),
        speed=rng.uniform(SLOWEST, FASTEST), x=rng.random(), y=rng.random(), seed=rng.getrandbits(48),
    )


def render(scene: Scene, frames: int = FRAMES) -> Clip:
    """Draw the scene's clip."""
    return draw(scene, list(range(frames)))


@torch.no_grad()
@torch.autocast("cpu", enabled=False)
def draw(scene: Scene, moments: list[int], offsets: Tensor | None = None) -> Clip:
    """Draw some moments of the scene, numbered as its frames are, in full precision whatever is trained on them.

    The background is as random as in the whole clip, but is only the same one if they are all its frames in order.

    Args:
        offsets: What is added to the subject's place in each frame, (f, 2) as x and y in pixels.
    """
    backdrop = BACKDROPS[scene.backdrop]
    rng = torch.Generator().manual_seed(scene.seed)
    behind = backdrop.draw(rng, len(moments)).clamp(0, 1).expand(len(moments), 3, SIZE, SIZE)
    pose = pose_of(scene)
    time = torch.tensor(moments, dtype=torch.float32)
    centres = pose.start + pose.step * time.unsqueeze(1)
    centres = centres if offsets is None else centres + offsets
    sprite = _sprite(scene, pose, centres, moments)
    frames = behind
    if _stands(scene):
        frames = _shadow(frames, pose, centres, backdrop.shade)
    if scene.way != "still":
        frames = _trail(frames, pose, centres, time + scene.phase, backdrop.puff)
    if backdrop.glow is not None:
        frames = _glow(frames, sprite[:, 3:], backdrop.glow)
    colours = sprite[:, :3] * column(backdrop.light)
    return Clip(frames * (1 - sprite[:, 3:]) + colours, behind, sprite, centres)


def silhouette(clip: Clip) -> Tensor:
    """Return what the ControlNet follows, white on black: (f, 3, SIZE, SIZE), 0 to 1."""
    return clip.sprite[:, 3:].repeat(1, 3, 1, 1)


def outline(clip: Clip) -> Tensor:
    """Return the subject's outer and inner edges, white on black: (f, 3, SIZE, SIZE), 0 to 1."""
    # What is seen of it: its brightness and, where that is the background's, its edge.
    bright = clip.sprite[:, :3].mean(1, keepdim=True)
    seen = F.avg_pool2d(torch.cat([bright, 0.6 * clip.sprite[:, 3:]], dim=1), 3, 1, 1)
    across = seen[..., 1:-1, 2:] - seen[..., 1:-1, :-2]
    down = seen[..., 2:, 1:-1] - seen[..., :-2, 1:-1]
    edge = torch.hypot(across, down).amax(1, keepdim=True)
    return F.pad(((edge - 0.08) / 0.12).clamp(0, 1), (1, 1, 1, 1)).repeat(1, 3, 1, 1)


# Where the subject is, and how it holds itself.

@dataclass(frozen=True)
class Pose:
    """Geometry of a scene, in pixels from the top left corner."""

    start: Tensor
    """Middle of the sprite's cell in the first frame, (2,) as x and y."""
    step: Tensor
    """What is added to it in each frame."""
    scale: float
    """Size of the sprite's pixels."""
    turn: float
    """Degrees by which the sprite is turned against the clock."""
    flip: bool
    """Whether it is mirrored before that."""
    stretch: float
    """How much taller than usual it is, and as much narrower."""
    box: Tensor
    """What all phases together span around the middle: left, top, right, bottom."""
    body: Tensor
    """The same of one phase, on average."""


def pose_of(scene: Scene) -> Pose:
    """Return where the subject is and how it holds itself."""
    index = NAMES.index(scene.subject)
    turn, flip, stretch = attitude(SUBJECTS[index], scene.way, scene.mirrored)
    unit, body = extent(index, turn, flip, stretch)
    way = torch.tensor(WAYS[scene.way], dtype=torch.float32)
    scale = min(scene.size / float((body[2:] - body[:2]).max()), largest_scale(scene.way, unit))
    box, spans = unit * scale, (unit[2:] - unit[:2]) * scale
    room = SIZE + BEYOND - BEHIND - float((spans * way.abs()).sum())
    speed = min(scene.speed, room / (FRAMES - 1))
    step = way * speed
    place = torch.tensor([scene.x, scene.y])
    low, high = _room(scene, box, step, BACKDROPS[scene.backdrop])
    return Pose(low + place * (high - low), step, scale, turn, flip, stretch, box, body * scale)


def largest_scale(way: str, box: Tensor) -> float:
    """Return the largest scale at which what spans a box at scale 1 has room to go its way."""
    limits = torch.where(torch.tensor(WAYS[way]) != 0, WIDEST, SIZE - 6.0)
    return float((limits / (box[2:] - box[:2])).min())


def _room(scene: Scene, box: Tensor, step: Tensor, backdrop: Backdrop) -> tuple[Tensor, Tensor]:
    """Return the first and last place for the middle of the sprite in the first frame, (2,) each."""
    low, high = 3 - box[:2], SIZE - 3 - box[2:]
    path = step * (FRAMES - 1)
    # A subject on its way sets out with its trail in view, and may leave by its nose.
    low = torch.where(step > 0, BEHIND - box[:2], torch.where(step < 0, -BEYOND - box[:2] - path, low))
    high = torch.where(step > 0, SIZE + BEYOND - box[2:] - path, torch.where(step < 0, SIZE - BEHIND - box[2:], high))
    if _stands(scene):
        feet = torch.tensor(backdrop.ground) - box[3]
        low, high = torch.stack([low[0], feet[0].maximum(low[1])]), torch.stack([high[0], feet[1].minimum(high[1])])
    return low, torch.maximum(low, high)


def _stands(scene: Scene) -> bool:
    """Return whether the subject stands on the ground."""
    stands = SUBJECTS[NAMES.index(scene.subject)].stands
    return stands and BACKDROPS[scene.backdrop].ground is not None and WAYS[scene.way][1] == 0


def attitude(subject: Subject, way: str, mirrored: bool) -> tuple[float, bool, float]:
    """Return how a subject holds itself: the turn in degrees, whether it is mirrored, and its stretch."""
    if subject.steers == "turn":
        if way == "still":
            return 0.0, mirrored, 1.0
        # What is seen from the side turns by half a circle less if it is mirrored first.
        flip = subject.faces == "up right" and way == "left"
        faces = 180.0 - ANGLES[subject.faces] if flip else ANGLES[subject.faces]
        return (ANGLES[way] - faces + 180.0) % 360.0 - 180.0, flip, 1.0
    if subject.steers == "lean":
        lean = {"left": LEAN, "right": -LEAN}.get(way, 0.0)
        return lean, way == "right" or (way != "left" and mirrored), {"up": 1.05, "down": 0.95}.get(way, 1.0)
    flip = way == "right" or (way != "left" and mirrored)
    nose = {"up": -TILT, "down": TILT}.get(way, 0.0)
    return -nose if flip else nose, flip, 1.0


@cache
def extent(index: int, turn: float, flip: bool, stretch: float) -> tuple[Tensor, Tensor]:
    """Return what a subject spans at scale 1, as boxes around the middle: all phases together, and one on average."""
    small = F.max_pool2d(sprites()[index, :, 3:], 2).squeeze(1) > 0.15
    axis = torch.arange(CELL // 2) * 2.0 + 1 - CELL / 2
    found = []
    for phase in small:
        rows, columns = phase.nonzero(as_tuple=True)
        points = torch.stack([axis[columns] * (-1 if flip else 1) / stretch, axis[rows] * stretch])
        points = _rotation(turn) @ points
        found.append(torch.cat([points.min(1).values - 1, points.max(1).values + 1]))
    boxes = torch.stack(found)
    return torch.cat([boxes[:, :2].min(0).values, boxes[:, 2:].max(0).values]), boxes.mean(0)


def _rotation(degrees: float) -> Tensor:
    """Return the matrix that turns (x, y), y downwards, against the clock."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[cosine, sine], [-sine, cosine]])


# What is drawn.

def _sprite(scene: Scene, pose: Pose, centres: Tensor, moments: list[int]) -> Tensor:
    """Draw the subject alone, (f, 4, SIZE, SIZE), colours multiplied by opacity."""
    index = NAMES.index(scene.subject)
    phases = [(scene.phase + moment) % PHASES for moment in moments]
    bob = SUBJECTS[index].bob * torch.sin(torch.tensor(phases) * (4 * math.pi / PHASES))
    middles = torch.stack([centres[:, 0], centres[:, 1] + bob], dim=1)
    return place(sprites()[index, phases], middles, pose.scale, pose.turn, pose.flip, pose.stretch)


def place(cells: Tensor, middles: Tensor, scale: float, turn: float, flip: bool, stretch: float, side: int = SIZE
          ) -> Tensor:
    """Draw sprites, (f, 4, CELL, CELL), with their middles in places of the frame: (f, 4, side, side).

    Args:
        middles: x and y in pixels, (f, 2).
        turn, flip, stretch: As `attitude` has them.
        side: Of the frame, in pixels.
    """
    # From a frame's pixel to the sprite's: the picture is moved, turned, stretched and mirrored backwards.
    matrix = _rotation(-turn) / scale
    matrix = torch.tensor([[-stretch if flip else stretch], [1 / stretch]]) * matrix
    offset = -((middles - side / 2) @ matrix.T) / (CELL / 2)
    theta = torch.cat([(matrix * (side / CELL)).expand(len(cells), 2, 2), offset.unsqueeze(2)], dim=2)
    grid = F.affine_grid(theta, [len(cells), 4, side, side], align_corners=False)
    return F.grid_sample(cells, grid, mode="bilinear", align_corners=False)


def _shadow(frames: Tensor, pose: Pose, centres: Tensor, opacity: float) -> Tensor:
    """Lay a soft shadow on the ground under the subject."""
    x = centres[:, :1] + (pose.body[0] + pose.body[2]) / 2
    y = centres[:, 1:] + pose.body[3] - 2
    width = ((pose.body[2] - pose.body[0]) * 0.27).expand(1, 1)
    shadow = spots(x, y, width, torch.full((1, 1), 3.6), torch.full((1, 1), 1.4 * opacity)).clamp(max=opacity)
    return frames * (1 - shadow.unsqueeze(1) * column((1.0, 0.95, 0.80)))


def _trail(frames: Tensor, pose: Pose, centres: Tensor, time: Tensor, colour: tuple[float, float, float]) -> Tensor:
    """Lay puffs behind the subject: they grow, fade and stay behind as it goes."""
    way = pose.step.sign()
    middle, half = (pose.body[:2] + pose.body[2:]) / 2, (pose.body[2:] - pose.body[:2]) / 2
    # Those who go to the side raise dust at their feet, the others leave it in the middle.
    rear = middle - way * half * 0.9 + torch.tensor([0.0, float(half[1]) * 0.55]) * way.abs()[0]
    age = (torch.arange(PUFFS) + (time / 2).frac().unsqueeze(1)) / PUFFS
    side = torch.tensor([[1.0, -0.8, 0.5, -1.0, 0.8]]).roll(1) * 5
    # Every other frame a puff joins, and each of the others takes the place of the next.
    swap = torch.where((time / 2).floor().remainder(2) == 0, 1.0, -1.0).unsqueeze(1)
    back = 26 * age
    across = way.abs().flip(0)
    x = centres[:, :1] + rear[0] - way[0] * back + across[0] * side * swap
    y = centres[:, 1:] + rear[1] - way[1] * back + across[1] * side * swap * 0.7
    size = 2.6 + 2.6 * age
    puffs = spots(x, y, size, size, 2.4 * (1 - age) * (age * PUFFS).clamp(max=1)).clamp(max=0.9)
    return torch.lerp(frames, column(colour), puffs.unsqueeze(1))


def _glow(frames: Tensor, mask: Tensor, colour: tuple[float, float, float]) -> Tensor:
    """Light up what is around the subject."""
    small = F.avg_pool2d(mask, 4)
    for _ in range(2):
        small = F.avg_pool2d(small, 5, 1, 2, count_include_pad=False)
    halo = F.interpolate(small, scale_factor=4, mode="bilinear")
    return torch.lerp(frames, column(colour), 0.55 * halo)
