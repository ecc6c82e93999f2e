"""What the policies of a cluster and of a namespace make of new objects, or refuse."""
