"""exec, attach and port-forward: WebSockets whose messages belong to numbered streams."""
