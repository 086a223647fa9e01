"""Long Video and the Rolling Sampler beside one another, over hundreds of frames."""
