"""The paper's training: data, losses, solver, averaging, LoRA and one loop; no host (Wang et al. 2024)."""
