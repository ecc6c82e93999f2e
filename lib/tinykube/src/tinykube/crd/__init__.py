"""Custom resources: what their definitions say, and what that makes of objects.

The contract is that of `apiextensions.k8s.io/v1`: structural schemas, pruning, defaulting,
validation with Kubernetes' own words, and rules in CEL.
"""
