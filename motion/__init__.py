"""The temporal network of AnimateLCM and AnimateDiff: pure torch, no host."""
