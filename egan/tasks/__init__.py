"""What is generated from what: a task makes a genome's inputs and turns them into fakes."""
