"""Where experiments, pipelines, runs and their events are kept."""
