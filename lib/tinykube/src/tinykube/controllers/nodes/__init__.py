"""What becomes of nodes and of the pods on them when a node is lost, tainted or deleted."""
