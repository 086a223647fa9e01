"""What a training run can be given, and the presets, each value with its source.

"paper" is what Wang et al. 2024 say of the published model; "SVD script" is the authors' released training script for
another model; "LCM-LoRA" is the recipe of Luo et al. 2023; "PCM" is that of phased consistency models (Wang et al.
2024, arXiv 2405.18407), "MCM" that of motion consistency models (Zhai et al. 2024, arXiv 2406.06890); "ours" was chosen
here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from ..samplers.schedules import NUM_TIMESTEPS

PRECISIONS = ("float32", "bfloat16", "float16")
RATES = ("constant", "cosine")
INITS = ("student", "both", "none")
STAGES = ("image", "motion", "adapt")
TARGETS = ("average", "student")
LATER: dict[str, bool] = {"later": True}
"""Marks a setting that checkpoints of older versions do not name: these were made with its default."""


@dataclass(frozen=True)
class LoopConfig:
    """How the loop runs: nothing in here knows what is trained."""

    steps: int
    """Steps of the optimiser in all, those before a resume included."""
    learning_rate: float
    """Rate after the warm-up."""
    rate: str = "constant"
    """What the rate does after the warm-up: "constant", or "cosine", half a cosine down to zero."""
    warmup: int = 0
    """Steps over which the rate rises."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay rates."""
    weight_decay: float = 1e-2
    """AdamW's decay of the weights."""
    clip: float = 1.0
    """Norm to which the gradient is cut."""
    accumulation: int = 1
    """Batches whose gradients are averaged for a step."""
    precision: str = "float32"
    """What the networks compute in: "float32", "bfloat16", or "float16" with a scaled loss. Trained weights stay
    float32."""
    ema: float = 0.95
    """Share of the averaged weights that a step keeps: 0 copies the student, 1 never moves."""
    ema_warmup: bool = False
    """Whether the average is short at first, so that a random starting point is soon forgotten."""
    save_every: int = 200
    """Steps between checkpoints."""
    divergence: float = 20.0
    """The run stops where its smoothed loss is this many times the lowest one so far."""

    def __post_init__(self) -> None:
        _within("steps", self.steps, 1)
        _within("warmup", self.warmup, 0)
        if self.warmup >= self.steps:
            raise ValueError(f"the run has {self.steps} steps; it needs more than the {self.warmup} to warm up")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected more than 0")
        _within("accumulation", self.accumulation, 1)
        _within("save_every", self.save_every, 1)
        _within("ema", self.ema, 0, 1)
        _within("weight_decay", self.weight_decay, 0)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are {self.betas}; expected two numbers from 0 to less than 1")
        _one_of("rate", self.rate, RATES)
        _one_of("precision", self.precision, PRECISIONS)
        if not self.divergence > 1:
            raise ValueError(f"divergence is {self.divergence}; expected more than 1, as a factor on the loss")


@dataclass(frozen=True)
class LoRAConfig:
    """The shape of a LoRA (Hu et al. 2021)."""

    rank: int = 64
    """Width of the two matrices (LCM-LoRA: 64)."""
    alpha: float = 64.0
    """alpha / rank is the factor on their product; the authors' file has 8, diffusers' LCM-LoRA script the rank."""

    def __post_init__(self) -> None:
        _within("rank", self.rank, 1)
        if not self.alpha > 0:
            raise ValueError(f"alpha is {self.alpha}; expected more than 0")


@dataclass(frozen=True)
class DistillationConfig:
    """The numbers of the consistency losses."""

    original_steps: int = 100
    """Timesteps of the grid (paper, text to video: 100; LCM-LoRA: 50); the sampler has to use the same."""
    skip: int = 1
    """k, steps of that grid that the teacher crosses at once (LCM-LoRA: 1, of its 50): more of them, and the last
    steps teach the first ones sooner, by a coarser teacher."""
    strong_noise: float = 0.0
    """Share of the timesteps that are drawn as often as their number to the fifth power says; the others are drawn
    evenly (LCM-LoRA: all)."""
    pure_noise: float = 0.0
    """Share of the samples that are drawn at the last timestep with noise alone, as a sampler begins. Even the last
    timestep of the schedule shows some of the example (Lin et al. 2024), and a student that learns to read this knows
    less of the prompt without it (LCM-LoRA: none)."""
    w_min: float = 5.0
    """Least guidance of the teacher, w; the host's cfg is 1 + w (LCM-LoRA: 5)."""
    w_max: float = 15.0
    """Most guidance of the teacher (LCM-LoRA: 15)."""
    huber: float = 1e-3
    """h of the pseudo-Huber distance (SVD script: 0.001)."""
    init: str = "student"
    """Who has the spatial LoRA when the motion module's training starts: "student" (paper: the target receives it
    through the averaging), "both" or "none"."""
    decoupled: bool = True
    """Whether the image prior is distilled before the motion (paper); otherwise both at once, on clips."""
    phases: int = field(default=1, metadata=LATER)
    """Parts of the timesteps: in each the network learns to jump to its lower edge (PCM). 1 is the paper, with c_skip;
    the sampler then takes as many steps, without fresh noise."""
    target: str = field(default="average", metadata=LATER)
    """Whose weights the target has: "average", those that are averaged (paper), or "student", its own without a
    gradient (PCM). The average is the result in any case."""
    empty_captions: float = field(default=0.0, metadata=LATER)
    """Share of the samples whose caption is left out (PCM: 0.1 where w is 0), so that the network knows what guidance
    leads away from: with a teacher without guidance, cfg and negative prompts work when it is sampled."""
    motion_weight: float = field(default=0.0, metadata=LATER)
    """Weight of the same distance between the differences of neighbouring frames, beside that between frames (MCM, Zhai
    et al. 2024)."""
    own_samples: float = field(default=0.0, metadata=LATER)
    """Share of the batches whose x0 is what the student itself makes of pure noise, as when it is sampled (MCM: half);
    of the data these have the captions alone."""
    skip_start: int = field(default=0, metadata=LATER)
    """Skip at the beginning, halved every `skip_every` batches until it is `skip` (after ECT, Geng et al. 2024); 0: it
    is `skip` throughout."""
    skip_every: int = field(default=1000, metadata=LATER)
    """Batches, of all processes, after which the skip is halved."""
    rolling: int = field(default=0, metadata=LATER)
    """Steps of the rolling sampler that a few-step module is tuned to, without a teacher: the frames of a clip are at
    so many levels of falling noise, as in that sampler's window; 0: all of them at one level."""

    def __post_init__(self) -> None:
        if self.original_steps < 1 or NUM_TIMESTEPS % self.original_steps:
            raise ValueError(f"original_steps is {self.original_steps}; expected a divisor of {NUM_TIMESTEPS}")
        _within("skip", self.skip, 1, self.original_steps)
        _within("strong_noise", self.strong_noise, 0, 1)
        _within("pure_noise", self.pure_noise, 0, 1)
        if not 0 <= self.w_min <= self.w_max:
            raise ValueError(f"w runs from {self.w_min} to {self.w_max}; expected 0 <= w_min <= w_max")
        if not self.huber > 0:
            raise ValueError(f"huber is {self.huber}; expected more than 0")
        _one_of("init", self.init, INITS)
        _one_of("target", self.target, TARGETS)
        _within("phases", self.phases, 1, self.original_steps)
        for name in ("empty_captions", "own_samples"):
            _within(name, getattr(self, name), 0, 1)
        _within("motion_weight", self.motion_weight, 0)
        _within("skip_every", self.skip_every, 1)
        _within("rolling", self.rolling, 0, self.original_steps)
        if self.skip_start and not self.skip <= self.skip_start <= self.original_steps:
            raise ValueError(f"skip_start is {self.skip_start}; expected 0, or skip to original_steps, {self.skip} to "
                             f"{self.original_steps}")

    def skip_at(self, number: int) -> int:
        """Return the skip of a batch."""
        return max(self.skip, self.skip_start >> min(number // self.skip_every, 63))


BEFORE = {item.name: item.default for item in fields(DistillationConfig) if item.metadata == LATER}
"""What settings were that checkpoints of older versions do not name."""


@dataclass(frozen=True)
class TrainingConfig:
    """One stage of a training run."""

    stage: str
    """"image": a spatial LoRA from the image model; "motion": the motion module on clips; "adapt": an adapter, without
    a teacher."""
    loop: LoopConfig
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    lora: LoRAConfig = field(default_factory=LoRAConfig)
    batch: int = 1
    """Images, or clips, of a batch."""
    num_frames: int = 16
    """Frames of a clip; 1 for images (paper: 16)."""
    width: int = 512
    """Pixels (paper: 512)."""
    height: int = 512
    """Pixels (paper: 512)."""
    gradient_checkpointing: bool = True
    """Whether activations are computed again on the way back: about a third slower, and much less memory."""
    seed: int = 0
    """Decides the data and the noise of every step; in a folder also how its files are cut."""

    @property
    def frames(self) -> int:
        """Frames that a batch has of each clip; one is an image, which is what the stage "image" takes."""
        return 1 if self.stage == "image" else self.num_frames

    def __post_init__(self) -> None:
        _one_of("stage", self.stage, STAGES)
        for name in ("batch", "num_frames", "width", "height"):
            _within(name, getattr(self, name), 1)
        if self.stage == "adapt":
            for name, what in (("pure_noise", "noise alone"), ("own_samples", "the student's own samples")):
                if value := getattr(self.distillation, name):
                    raise ValueError(f"{name} is {value}; expected 0 in the stage adapt, where no teacher says what "
                                     f"becomes of {what}")
        if self.distillation.rolling and self.stage != "adapt":
            raise ValueError(f"rolling is {self.distillation.rolling}; expected 0 in the stage {self.stage}, since no "
                             "teacher has seen frames at falling noise. Use it in the stage adapt")
        if self.distillation.rolling and self.frames % self.distillation.rolling:
            raise ValueError(f"rolling is {self.distillation.rolling}, and a clip has {self.frames} frames; expected "
                             "frames that these steps divide, as in the rolling sampler's window. 4 steps and 16 "
                             "frames are recommended")
        if self.distillation.motion_weight and self.frames == 1:
            raise ValueError(f"motion_weight is {self.distillation.motion_weight}; expected 0 where images are trained "
                             "on, which have no motion. Use it in the stage motion")


def _within(name: str, value: float, least: float, most: float | None = None) -> None:
    if value < least or (most is not None and value > most):
        raise ValueError(f"{name} is {value}; expected {f'at least {least}' if most is None else f'{least} to {most}'}")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(known)}")


def _paper() -> dict[str, TrainingConfig]:
    # Frames and size: paper. Rank, rate and guidance of the image stage: LCM-LoRA. Averaging and Huber constant: SVD
    # script. Batch, steps and the motion stage's rate, which nobody has published: ours, for eight large GPUs.
    image = LoopConfig(steps=5_000, learning_rate=1e-4, warmup=100, precision="bfloat16")
    motion = LoopConfig(steps=10_000, learning_rate=5e-6, warmup=100, precision="bfloat16")
    return {
        "image": TrainingConfig("image", image, batch=16, num_frames=1),
        "motion": TrainingConfig("motion", motion, batch=2),
        "adapt": TrainingConfig("adapt", replace(motion, learning_rate=1e-5), batch=2),
    }


def _sd15(batch: dict[str, int], side: int, accumulation: int) -> dict[str, TrainingConfig]:
    """Return the paper's stages cut down to one GPU: smaller batches, made up for by accumulation (ours)."""
    return {stage: replace(config, batch=batch[stage], width=side, height=side,
                           loop=replace(config.loop, accumulation=accumulation))
            for stage, config in _paper().items()}


def _tiny() -> dict[str, TrainingConfig]:
    # The embedded demo model, 128 x 128 pixels, on two CPU cores (all values ours).
    guidance = DistillationConfig(w_min=1.0, w_max=3.0)
    image = LoopConfig(steps=400, learning_rate=1e-3, warmup=20, save_every=100)
    motion = LoopConfig(steps=400, learning_rate=3e-4, warmup=20, save_every=100)
    stages = (
        TrainingConfig("image", image, guidance, batch=8, num_frames=1),
        TrainingConfig("motion", motion, guidance, batch=1),
        TrainingConfig("adapt", replace(motion, learning_rate=1e-3), guidance, batch=1),
    )
    return {config.stage: replace(config, lora=LoRAConfig(rank=16, alpha=16.0), width=128, height=128,
                                  gradient_checkpointing=False) for config in stages}


TUNING_STEPS = 200
"""Steps that tune a motion module to the rolling sampler, in place of a preset's (ours): more would teach it the clips.
"""

PRESETS: dict[str, dict[str, TrainingConfig]] = {
    "tiny": _tiny(),
    "sd15-24gb": _sd15({"image": 2, "motion": 1, "adapt": 1}, side=256, accumulation=4),
    "sd15-80gb": _sd15({"image": 8, "motion": 1, "adapt": 1}, side=512, accumulation=2),
    "paper": _paper(),
}
"""Settings by preset and stage."""
