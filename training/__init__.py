"""The paper's training: losses, solver, averaging, LoRA and one loop; pure torch, no host (Wang et al. 2024)."""
