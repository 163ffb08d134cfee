"""Evolution of anything: individuals, selection, seeding, lineage, executors."""
