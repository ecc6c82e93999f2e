"""One file a revision; a file that was released never changes."""
