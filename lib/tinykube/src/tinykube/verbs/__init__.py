"""What a write does to the store: how an object is created, updated, applied, changed, deleted.

Nothing here awaits, so each write is atomic.
"""
