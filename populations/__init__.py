"""Evolution, ignorant of what evolves: individuals, selection, seeding, executors."""
