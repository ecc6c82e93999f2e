"""The image that pipeline steps run in when their own image is a plain Python."""
