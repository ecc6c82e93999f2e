"""What all tests share."""

import signal

from hypothesis import settings

# Machines are noisy: an example that takes long proves nothing.
settings.register_profile("house", deadline=None)
if settings.get_current_profile_name() == "default":
    settings.load_profile("house")

# A shell's background job ignores interrupts, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
