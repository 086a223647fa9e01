"""What a training run is given in a TOML file, checked and laid over a preset."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from .cache import DataSettings
from .clips import ClipSettings
from .config import PRESETS, STAGES, TUNING_STEPS, LoopConfig, TrainingConfig
from .methods import METHODS, with_method
from .values import shown, typed


class Dataclass(Protocol):
    """An instance of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


Settings = TypeVar("Settings", bound=Dataclass)


class OptionError(ValueError):
    """The run was given something that cannot be; the message says what can."""


TEXT_TO_VIDEO = "AnimateLCM text-to-video"
"""The schedule of the authors' own spatial LoRA and motion module."""
AUTO = "auto"
"""In place of a schedule: that of the motion module that something is adapted to."""


@dataclass(frozen=True)
class RunOptions:
    """What a run is about, beside its numbers."""

    stage: str
    """"image": a spatial LoRA; "motion": a motion module; "adapt": an adapter, an image encoder or a ControlNet; with
    `rolling`, a few-step motion module to the rolling sampler."""
    data: Path
    """Folder of clips or images, each with its caption in a .txt file."""
    model: str = "demo"
    """Path of a checkpoint, or "demo"."""
    motion: str = "demo"
    """Path of the motion file to start from, or "demo", in the stage adapt its few-step one; not for a spatial LoRA."""
    lora: Path | None = None
    """The spatial LoRA, for the other two stages."""
    control_net: Path | None = None
    """ControlNet to tune, in place of an image encoder, as the adapter; every clip has a hint."""
    bases: tuple[str, ...] = ()
    """LoRAs of styles, as PATH or "PATH: STRENGTH", other checkpoints, or folders of them: each batch of the stage
    motion is trained on one of them or on the model."""
    preset: str = "sd15-24gb"
    """Where all numbers that are not given come from."""
    method: str = "paper"
    """Way to distil: "paper", "phased", or "phased + motion"; [distillation] changes any of its numbers."""
    schedule: str = TEXT_TO_VIDEO
    """Noise schedule and distillation grid; `plan` takes AUTO, the motion module's own, for the stage adapt."""
    name: str = "training"
    """Of the checkpoint and the result."""
    output: Path = Path("output") / "training"
    """Folder of the checkpoint, the result, the cache and the log."""

    def __post_init__(self) -> None:
        outside = Path(self.name).is_absolute() or ".." in Path(self.name).parts
        if outside or not self.name.strip() or self.name.endswith(TRAINED_ALONG):
            raise OptionError(f"name is {self.name!r}; expected a plain name, such as my_training, that does not end "
                              f"in {TRAINED_ALONG}")
        if self.control_net is not None and self.stage != "adapt":
            raise OptionError(f"control_net is given and stage is {self.stage!r}; expected the stage adapt")
        if self.bases and self.stage != "motion":
            raise OptionError(f"bases are given and stage is {self.stage!r}; expected the stage motion")
        if self.method != "paper" and self.stage == "adapt":
            raise OptionError(f"method is {self.method!r} and stage is 'adapt'; leave it out, since an adapter is "
                              "trained in the phases of its motion module")
        for name, value, known in (("stage", self.stage, STAGES), ("preset", self.preset, tuple(PRESETS)),
                                   ("method", self.method, METHODS)):
            if value not in known:
                raise OptionError(f"{name} is {value!r}; expected one of {', '.join(known)}")
        if self.stage == "image" and self.lora is not None:
            raise OptionError("lora is given, and the image stage makes one; leave it out, or merge it into the model")


TRAINED_ALONG = ".lora"
"""What the name of a LoRA has, before its suffix, that was trained along with the motion module of that name."""
TABLES = ("clips", "views", "training", "loop", "distillation", "lora_shape")


@dataclass(frozen=True)
class Plan:
    """A whole run."""

    options: RunOptions
    config: TrainingConfig
    clips: ClipSettings
    views: DataSettings


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        OptionError: It cannot be read, or this Python has no reader for it.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise OptionError("TOML files need Python 3.11, or the package tomli: pip install tomli") from error
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # no UTF-8, no TOML, or a number or a nesting too long
        raise OptionError(f"{path} cannot be read: {error}") from error


def plan(given: Mapping[str, Any]) -> Plan:
    """Return the run that a TOML file's content describes.

    Raises:
        OptionError: A name is unknown, or a value is not possible.
    """
    for name in ("stage", "data"):
        if name not in given:
            raise OptionError(f"{name} is not given, and has to be")
    for table in TABLES:
        if not isinstance(given.get(table, {}), Mapping):
            raise OptionError(f"{table} is {shown(given[table])}; expected a table, [{table}]")
    own = {name: value for name, value in given.items() if name not in TABLES}
    own.setdefault("schedule", AUTO if given["stage"] == "adapt" else TEXT_TO_VIDEO)
    options = _made(RunOptions, "the file", own, RunOptions)
    config = with_method(PRESETS[options.preset][options.stage], options.method)
    config = replace(config, loop=_over(_short(config.loop, given), "loop", given),
                     lora=_over(config.lora, "lora_shape", given))
    config, how = _over(config, "training", given), _over(config.distillation, "distillation", given)
    try:
        config = replace(config, distillation=how)
    except ValueError as error:  # what this stage cannot do, or clips of so many frames
        raise OptionError(f"[distillation]: {error}") from error
    if options.stage == "image":
        config = replace(config, num_frames=1)
    elif config.num_frames < 2 and options.control_net is None:
        raise OptionError(f"num_frames is {config.num_frames}; the stage {options.stage} trains on clips, of 2 frames "
                          "or more")
    if "stage" in given.get("training", {}):
        raise OptionError("[training] has stage, which stands before all tables")
    size = {name: getattr(config, name) for name in ("num_frames", "height", "width")}
    if twice := sorted(size.keys() & given.get("clips", {}).keys()):
        raise OptionError(f"[clips] has {', '.join(twice)}, which belong into [training]")
    clips = _made(ClipSettings, "[training]", size, ClipSettings)
    # One seed decides all, the cuts and their order too, unless these have their own.
    return Plan(options, config, _over(clips, "clips", given), _over(DataSettings(seed=config.seed), "views", given))


def _short(loop: LoopConfig, given: Mapping[str, Any]) -> LoopConfig:
    """Return the preset's loop with the steps that are asked for, and no longer a warm-up than half of them."""
    usual = TUNING_STEPS if given.get("distillation", {}).get("rolling") else loop.steps
    steps = given.get("loop", {}).get("steps", usual)
    if not isinstance(steps, int) or steps < 1:
        return loop
    return replace(loop, steps=steps, warmup=min(loop.warmup, steps // 2))


def _over(settings: Settings, table: str, given: Mapping[str, Any]) -> Settings:
    """Return settings with what a table of the file says in place of their own."""
    return _made(lambda **changes: replace(settings, **changes), f"[{table}]", given.get(table, {}), settings)


def _made(make: Callable[..., Settings], where: str, values: Mapping[str, Any], settings: Any) -> Settings:
    """Return what `make` makes of the values; `settings` is the dataclass, or an instance, that knows their names."""
    known = [field.name for field in fields(settings)]
    for name in values:
        if name not in known:
            raise OptionError(f"{where} has {name!r}; expected some of {', '.join(known)}")
    try:
        return make(**typed(values, settings))
    except ValueError as error:
        raise OptionError(f"{where}: {error}") from error
