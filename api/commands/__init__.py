"""What a person runs: each command is a process of its own."""

import atexit
import gc

# What a command imports stays. Looking through it for garbage while it is imported and once more when the process ends
# takes a third of the time that a start takes.
gc.set_threshold(100_000, 50, 50)
atexit.register(gc.freeze)
