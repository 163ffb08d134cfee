"""Where replicas run: in this process, or on Ray workers."""
