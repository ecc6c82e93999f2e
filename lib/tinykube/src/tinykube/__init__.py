"""The Kubernetes API on one machine, and a node that runs pods as processes."""
