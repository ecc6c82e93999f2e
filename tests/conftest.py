"""What all tests share."""

from hypothesis import settings

# Machines are noisy: an example that takes long proves nothing.
settings.register_profile("house", deadline=None)
if settings.get_current_profile_name() == "default":
    settings.load_profile("house")
