"""The texts of the report."""

PAGE = """# The paper's tables in miniature

Made by

    python dev.py paper-table --seeds {seeds} --prompts {prompts} \\
        --search-prompts {search_prompts} --ablation-steps {ablation_steps}

on the demo model: {clips} clips of 16 frames for each row, {prompts} prompts of each of {seeds} seeds (0 to {last}),
the same scenes and the same noise in all rows. Figures are of all clips together, with approximate 95 % intervals from
leaving out each of the seeds. They cover prompts and noise of the sampling, not the training: each variant was trained
once. A share of 1 ± 0 means {clips} of {clips} clips, and that the true one may be as low as {lowest:.2f}. What the
figures see and do not see: [evaluation.md](evaluation.md).

{sections}
"""
WORDS = {
    "specific": """Prompts say all of a scene but its size and place: "a penguin running left in the snow". DDIM and
DPM++ 2M, with evenly spaced timesteps (`sgm_uniform`), are there twice: at the teacher's guidance, as in the paper, and
with the guidance that had the lowest distance over {search_prompts} other prompts, for every number of steps.""",
    "class words": """The same scenes, of which prompts say only the kind of subject and what it does: "an animal
running left". What they leave open, a sampler has to choose. The second rows of DDIM and DPM++ 2M have the guidance
with the lowest distance over {search_prompts} other prompts of this kind.""",
}
"""What is said of each kind of prompts."""
SAMPLERS = """{words}

Clips of the world itself have the distance in the first row, because so few clips do not show their distribution
exactly; every other distance has about as much of that in it. Clips through the codec are what a model without fault
would get.

![The figures over the number of steps]({picture})

{notes}
"""
PERSONALISED = """The demo model with a LoRA of another palette, which neither the motion modules nor the spatial LoRA
have seen. The clips are measured with the palette undone, which doubles what is wrong with them: these figures cannot
be compared with those of other tables."""
ADAPTERS = """4 steps without guidance. Image to video is shown the scene's first frame, the ControlNet the outlines of
the subject on its path; the prompt alone can know neither."""
DECOUPLING = """From the teacher, {steps} steps of training at a constant rate: half for the spatial LoRA on images and
half for the motion module on clips, or all for both at once on clips. Every step sees 16 frames, and those of a clip
cost more: if anything, both at once has more compute. Its learning rate, {rate:g}, is between those of the two stages,
and no other was tried. 4 steps of sampling.

{notes}"""
INITIALISATION = """The motion stage from the teacher, with the demo model's spatial LoRA, at a constant rate.
`student`: the LoRA is in the student, and reaches the target through the averaging (the paper's). `both`: in both from
the start. `none`: in neither; it is put in for sampling only. 4 steps of sampling. The distance from the teacher is
that between the clip and the guided teacher's for the same prompt from the same noise: root mean square over the
pixels, values 0 to 1.

![The figures over the training](paper-table-initialisation.png)

{notes}"""
BEYOND = """What was published after the paper: {lora_steps} steps for the spatial LoRA and {steps} for the motion
module, from the teacher, in every row. *1 phase* is the paper's loss. All rows have the demo's settings otherwise: a
skip of {skip} steps of the grid, {strong:.0%} of the timesteps at strong noise, {pure:.0%} of the clips at noise alone,
guidance {w:g}. *Phases*: the timesteps are in parts, and the model learns to jump to the lower end of each (phased
consistency models, Wang et al. 2024); it is sampled without fresh noise. *Motion terms*: the differences between frames
count as well, and half of the batches begin with what the model itself makes of noise (motion consistency models, Zhai
et al. 2024). *Burned* is the share of values at the ends of what a pixel can hold, less the world's through the codec.

Texture, unexplained change and motion are better where they are nearer to those of the world through the codec: less is
lost or frozen, and more is noise or jitter.

![The figures over the number of steps](paper-table-phases.png)

{notes}"""
OPTIONS = """Each row is one change of a recipe above, with as many steps of training ({steps}); 4 steps of sampling.

{notes}"""
GUIDANCE = """4 steps of sampling at rising guidance, of models that were distilled for {steps} steps with the guided
teacher, and with one without guidance and a tenth of the captions left out (as the authors of phased consistency models
advise, so that guidance and negative prompts work when one samples). *Negative prompt obeyed*: prompts name no
background, so the model chooses one. This is the share of clips that show another one where the negative prompt names
it, less the share where the negative prompt names a background that is not there. At cfg 1 there is no negative
prompt."""
BASES = """{steps} steps of the motion module on the demo model alone, and on three bases in turn, batch by batch: the
demo model, and the same with LoRAs of a darker and of a greyer palette. Both are sampled in 4 steps on the demo model,
and on the pastel style, which none of them has seen; there the clips are measured with the palette undone, which
doubles what is wrong with them.

{notes}"""
