"""What changes over the frames of a video: key frames as text, and what lies between them. Pure torch, no host."""
