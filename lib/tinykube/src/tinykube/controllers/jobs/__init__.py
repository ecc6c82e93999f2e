"""The controller of Jobs: what to do is decided by `decision`, done by `controller`."""
