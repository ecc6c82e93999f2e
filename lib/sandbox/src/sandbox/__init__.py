"""Run one container as a process: image, mounts, identity, limits, adoption."""
