"""A run on disk: folder, journal, snapshots, and how they are read again."""
