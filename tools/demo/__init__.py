"""How the demo model is made and measured: training, styles, samplers, detector."""
