"""The node: runs the pods bound to it as sandboxed processes, as a kubelet runs containers."""
