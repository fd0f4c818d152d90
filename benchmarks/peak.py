"""The most memory that a run takes, measured: every allocation of torch, in its order."""

from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

__all__ = ['measured_peak']


def measured_peak(run: Callable[[], Any], device: str = 'cpu') -> int:
    """Return the most bytes that are allocated at once while something runs, beside what there was before.

    What kernels allocate for themselves is counted too, where they ask torch's allocator, as those of torch
    and oneDNN do; what a library of linear algebra keeps for itself is not.

    Parameters
    ----------
    run : callable
        Its result is alive until everything was counted.
    device : {'cpu', 'cuda'}
        Where it allocates. What is asked for counts, and not how much more torch sets aside on a GPU.
    """
    if device == 'cuda':
        return _peak_on_gpu(run)
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


def _peak_on_gpu(run: Callable[[], Any]) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_stats()['requested_bytes.all.current']
    result = run()
    torch.cuda.synchronize()
    del result
    return torch.cuda.memory_stats()['requested_bytes.all.peak'] - before
