"""The metadata service: MLflow's tracking server and registry, lean, behind a token."""
