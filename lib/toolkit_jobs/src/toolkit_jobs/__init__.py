"""What the workloads share: make a pod from options and a spec, follow it, read its logs."""
