"""What no user loads: hosts and environments, workflows, benchmarks, evaluation, and the making of the demo model."""
