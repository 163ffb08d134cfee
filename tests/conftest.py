"""What holds for every test."""

from hypothesis import settings

# A busy machine is no failure; pytest's own timeout catches what hangs.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
