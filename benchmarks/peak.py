"""The most memory that a run takes, measured: every allocation of torch on the processor, in its order."""

from collections.abc import Callable
from typing import Any

from torch.profiler import ProfilerActivity, profile

__all__ = ['measured_peak']


def measured_peak(run: Callable[[], Any]) -> int:
    """Return the most bytes that are allocated at once while something runs, beside what there was before.

    What kernels allocate for themselves is counted too, where they ask torch's allocator, as those of torch
    and oneDNN do; what a library of linear algebra keeps for itself is not.

    Parameters
    ----------
    run : callable
        Its result is alive until everything was counted.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = run()
    events: Any = profiler.profiler
    live = peak = 0
    for event in sorted(events.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == '[memory]' and str(event.device_type()) == 'DeviceType.CPU':
            live += event.nbytes()
            peak = max(peak, live)
    del result
    return peak
