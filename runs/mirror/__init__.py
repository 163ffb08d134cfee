"""A copy of a run in remote storage: object store, HDFS, or another mounted file system.

The folder stays the truth while the run goes on. After each snapshot a thread of its own copies
what is new, and never holds up the loop. Object stores cannot append, rename or replace several
objects at once, so nothing there is ever changed:

    journal/START-SIZE-CRC         a piece of the journal; only the last is shorter than a block
    states/NAME-SHA.safetensors    a snapshot's state
    run-NUMBER.json                a mark: what is small, and which pieces and states go together

Contents go first, then the mark that names them, then what no mark names any more is removed. So
whenever the copying ends, the newest mark that reads is a run that can be resumed, as if its driver
had been killed at that moment. pyarrow's file systems (which MLflow needs in any case) speak to all
of these stores; fsspec would want another package for each.

`marks` decides, and is pure; `objects` reads and writes the store; `copying` and `fetching` go
between it and the run's folder.
"""
