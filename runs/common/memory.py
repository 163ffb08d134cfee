"""The message when memory is short: what was tried, and what to change."""

LESS = (
    "make less at a time (population.batch, fitness.batch), or keep less of a network "
    "(execution.precision: bfloat16, backbone.checkpoint of StyleGAN and ProGAN)"
)


def memory_advice(error: BaseException) -> str:
    """Return a line on memory that was short in a run, with the keys of the config to change."""
    return f"{short_memory(error)}. {LESS[0].upper()}{LESS[1:]}"


def short_memory(error: BaseException) -> str:
    """Return a line on memory that was short in this process."""
    what = (str(error).splitlines() or [type(error).__name__])[0].partition(". GPU ")[0]
    what = what.rpartition("DefaultCPUAllocator: ")[2].partition(". Error code")[0]
    return f"memory is short: {what}"
