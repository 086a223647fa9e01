"""Our noise schedules and sampler in the host's terms: model_sampling objects, SIGMAS and SAMPLER."""

from __future__ import annotations

from types import SimpleNamespace

import comfy.model_sampling
import comfy.samplers
import torch
from comfy.k_diffusion.sampling import default_noise_sampler
from comfy.model_patcher import ModelPatcher
from comfy.model_sampling import EPS, V_PREDICTION, X0, ModelSamplingDiscrete, ModelSamplingDiscreteEDM
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..keyframes.curve import Curve
from ..samplers.consistency import boundary_scalings
from ..samplers.lcm import sample_lcm
from ..samplers.schedules import Schedule, grid, spaced_indices

HOST_BETA_SCHEDULE = {"linear": "sqrt_linear", "scaled_linear": "linear"}
"""The host names a schedule by what its square root is not."""


class ScheduleSampling(ModelSamplingDiscrete):
    """A Schedule as the host's model_sampling, with only the timesteps of the distillation grid where there is one.

    For a distilled network x0 passes through the consistency function, but not where it was distilled in phases. What
    the network predicts comes from the class of the host that is mixed in. Objects are shared by the clones of a MODEL
    and never change.
    """

    def __init__(self, schedule: Schedule, zsnr: bool) -> None:
        settings = {"beta_schedule": HOST_BETA_SCHEDULE[schedule.beta_schedule],
                    "linear_start": schedule.beta_start, "linear_end": schedule.beta_end}
        super().__init__(SimpleNamespace(sampling_settings=settings), zsnr=zsnr)
        self.schedule = schedule
        if schedule.original_steps is not None:
            self.set_sigmas(self.sigmas[grid(schedule)])

    def timestep(self, sigma: Tensor) -> Tensor:
        """Return the timestep of the grid whose noise level is nearest, in the logarithm."""
        spacing = self.schedule.spacing
        return super().timestep(sigma) * spacing + (spacing - 1)

    def sigma(self, timestep: Tensor) -> Tensor:
        """Return the noise level of a timestep; between those of the grid it is interpolated in the logarithm."""
        spacing = self.schedule.spacing
        return super().sigma((timestep - (spacing - 1)) / spacing)

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        """Return the clean latent that the network's output means; `model_input` is in the scale x0 + sigma eps."""
        x0 = super().calculate_denoised(sigma, model_output, model_input)
        if self.schedule.original_steps is None or self.schedule.phases > 1:
            return x0
        z = self.calculate_input(sigma, model_input)
        c_skip, c_out = (c.view(-1, *[1] * (x0.ndim - 1)) for c in boundary_scalings(self.timestep(sigma)))
        return c_skip * z + c_out * x0


class EpsSampling(ScheduleSampling, EPS):
    """For a network that predicts the noise."""


class VSampling(ScheduleSampling, V_PREDICTION):
    """For a network that predicts v."""


class X0Sampling(ScheduleSampling, X0):
    """For a network that predicts the clean latent."""


SAMPLING_CLASSES = {EPS: EpsSampling, V_PREDICTION: VSampling, X0: X0Sampling}


def model_sampling_for(model: ModelPatcher, schedule: Schedule) -> ScheduleSampling:
    """Return a new model_sampling with this schedule, for `add_object_patch` on a clone of `model`.

    What the network predicts (eps, v, x0) and whether the last timestep is pure noise (zsnr) stay as in the MODEL.

    Raises:
        ValueError: The MODEL is no discrete diffusion model, such as a flow or EDM model.
    """
    current = model.get_model_object("model_sampling")
    prediction = prediction_of(current)
    if prediction not in SAMPLING_CLASSES or not _is_discrete(current):
        raise ValueError(f"this MODEL samples as {_describe(current)}, which has no noise schedule in 1000 timesteps; "
                         "connect a Stable Diffusion 1.5 model that predicts eps or v")
    return SAMPLING_CLASSES[prediction](schedule, zsnr=getattr(current, "zsnr", False))


def prediction_of(model_sampling: nn.Module) -> type | None:
    """Return the host's class that says what the network predicts: EPS, V_PREDICTION, CONST, ..."""
    return next((kind for kind in type(model_sampling).__mro__
                 if kind.__module__ == comfy.model_sampling.__name__ and not issubclass(kind, nn.Module)), None)


def _is_discrete(model_sampling: nn.Module) -> bool:
    """Say whether noise levels are counted in training timesteps."""
    # The class for EDM's networks is made from the discrete one, but counts in logarithms of the noise level.
    return (isinstance(model_sampling, ModelSamplingDiscrete)
            and not isinstance(model_sampling, ModelSamplingDiscreteEDM))


def _describe(model_sampling: nn.Module) -> str:
    """Return the host's names for a model_sampling, such as "ModelSamplingDiscreteFlow with CONST"."""
    names = [kind.__name__ for kind in type(model_sampling).__mro__ if kind.__module__ == comfy.model_sampling.__name__]
    prediction = prediction_of(model_sampling)
    return f"{names[0]} with {prediction.__name__}" if names and prediction else type(model_sampling).__name__


def scheduled_sigmas(model: ModelPatcher, steps: int, denoise: float = 1.0) -> tuple[Tensor, list[int]]:
    """Return the SIGMAS of a run over the MODEL's own timesteps, evenly spaced, and those timesteps.

    These are exactly the stock "simple" scheduler's, for every `steps` and `denoise`; but where that one would repeat a
    timestep because the grid is too short for so many, this one says so. A denoise of 0 gives no steps at all.

    Raises:
        ValueError: More steps than the MODEL's schedule has timesteps, or it has none, as flow models.
    """
    model_sampling = model.get_model_object("model_sampling")
    if not _is_discrete(model_sampling):
        raise ValueError(f"this MODEL samples as {_describe(model_sampling)}, which has no timesteps; connect a Stable "
                         "Diffusion model, or use the stock Basic Scheduler")
    if denoise <= 0:
        return torch.empty(0), []
    table = model_sampling.sigmas
    picked = table[[len(table) - 1 - i for i in spaced_indices(len(table), steps, denoise)]].float().cpu()
    timesteps = [int(model_sampling.timestep(sigma)) for sigma in picked]
    return torch.cat([picked, picked.new_zeros(1)]), timesteps


class FreshNoise:
    """A SAMPLER of this pack, which adds a share of fresh noise between two steps."""

    def fresh_noise(self, model_sampling: nn.Module) -> float:
        """Return that share, 0 to 1, on a MODEL that samples so."""
        raise NotImplementedError


class LcmSampler(FreshNoise, comfy.samplers.KSAMPLER):
    """The multistep consistency sampler as the host runs it."""

    def __init__(self, gamma: float, curve: Curve | None, auto: bool) -> None:
        super().__init__(_sample_as_trained if auto else _sample, {"gamma": gamma, "curve": curve})
        self.auto = auto

    def fresh_noise(self, model_sampling: nn.Module) -> float:
        """Return the share of fresh noise where it is not lowered by a curve."""
        return 0.0 if self.auto and is_phased(model_sampling) else self.extra_options["gamma"]


def lcm_sampler(gamma: float, curve: Curve | None = None, auto: bool = False) -> LcmSampler:
    """Return the multistep consistency sampler as a SAMPLER; at gamma 1 its results are those of the stock "lcm".

    Args:
        curve: Factor on gamma at each frame.
        auto: Whether a network that was distilled in phases is sampled with gamma 0, from edge to edge.
    """
    return LcmSampler(gamma, curve, auto)


def is_phased(model_sampling: nn.Module) -> bool:
    """Return whether what samples was distilled in phases: then steps go from edge to edge, and fresh noise leads off.
    """
    return isinstance(model_sampling, ScheduleSampling) and model_sampling.schedule.phases > 1


def _sample_as_trained(model, x: Tensor, sigmas: Tensor, extra_args: dict, callback, disable: bool, gamma: float,
                       curve: Curve | None) -> Tensor:
    """Run the sampler, without fresh noise where the network was distilled in phases."""
    if is_phased(model.inner_model.inner_model.model_sampling):
        gamma, curve = 0.0, None
    return _sample(model, x, sigmas, extra_args, callback, disable, gamma, curve)


def _sample(model, x: Tensor, sigmas: Tensor, extra_args: dict, callback, disable: bool, gamma: float,
            curve: Curve | None) -> Tensor:
    """Run the sampler under KSAMPLER, with the host's noise source and a progress bar."""
    model_sampling = model.inner_model.inner_model.model_sampling
    if not isinstance(model_sampling, EPS):
        raise ValueError(f"this MODEL samples as {_describe(model_sampling)}, whose noise the AnimateLCM sampler does "
                         "not know; connect a Stable Diffusion 1.5 model, or choose the stock lcm sampler")
    of_frames = gamma if curve is None else gamma * curve.over(len(x)).view(-1, *[1] * (x.ndim - 1))
    noise_sampler = default_noise_sampler(x, seed=extra_args.get("seed"))
    with tqdm(total=len(sigmas) - 1, disable=disable) as bar:
        def report(state: dict) -> None:
            bar.update()
            # Hosts before 0.30 hand on the caller's own, which scripts leave out.
            if callback is not None:
                callback(state)

        return sample_lcm(model, x, sigmas, of_frames, noise_sampler, extra_args, report)
