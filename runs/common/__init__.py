"""What every part of `runs` uses: errors, whole files, locks, signals."""
