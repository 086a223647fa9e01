"""The texts of the report."""

PAGE = """# The paper's tables in miniature

Made by

    python dev.py paper-table --seeds {seeds} --prompts {prompts} \\
        --search-prompts {search_prompts} --ablation-steps {ablation_steps}

on the demo model: {clips} clips of 16 frames for each row, the same prompts and the same noise in all rows. Figures are
means over {seeds} seeds (0 to {last}) of {prompts} prompts each, with 95 % intervals by Student's t. What the figures
are: [evaluation.md](evaluation.md).

{sections}
"""
SAMPLERS = """For DDIM and DPM++ 2M, with evenly spaced timesteps (`sgm_uniform`), the guidance with the lowest distance
over {search_prompts} other prompts was taken, for every number of steps. Clips of the world itself have the distance in
the first row, because so few clips do not show their distribution exactly.

![The figures over the number of steps](paper-table.png)

{notes}
"""
PERSONALISED = """The demo model with a LoRA of another palette, which neither the motion modules nor the spatial LoRA
have seen. The clips are measured with the palette undone."""
ADAPTERS = """4 steps without guidance. Image to video is shown the scene's first frame, the ControlNet the silhouettes
along the scene's path; the prompt alone can know neither."""
DECOUPLING = """From the teacher, {steps} steps of training at a constant rate: half for the spatial LoRA on images and
half for the motion module on clips, or all for both at once on clips. Every step sees 16 frames, and those of a clip
cost more: if anything, both at once has more compute. 4 steps of sampling.

{notes}"""
INITIALISATION = """The motion stage from the teacher, with the demo model's spatial LoRA, at a constant rate.
`student`: the LoRA is in the student, and reaches the target through the averaging (the paper's). `both`: in both from
the start. `none`: in neither; it is put in for sampling only. 4 steps of sampling. The distance from the teacher is
that between the clip and the guided teacher's for the same prompt from the same noise: root mean square over the
pixels, values 0 to 1.

![The figures over the training](paper-table-initialisation.png)

{notes}"""
