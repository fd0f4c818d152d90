"""Early stopping: end when the held-out loss no longer falls."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, final

State: TypeAlias = Mapping[str, float | None]


@final
@dataclass(frozen=True)
class EarlyStopping:
    """Stop after a number of epochs in which the held-out loss did not improve.

    Parameters
    ----------
    patience : int
        Number of epochs without improvement after which training stops; 0 means never.
    min_delta : float, default 0
        By how much the loss must be below the best one to count as an improvement.

    Notes
    -----
    A loss that is not a number is never an improvement. The caller keeps the weights of the epoch
    for which `observe` says that the loss improved.

    Examples
    --------
    >>> stopping = EarlyStopping(patience=2)
    >>> state = stopping.init()
    >>> for loss in (0.9, 0.5, 0.6, 0.5):
    ...     state, improved = stopping.observe(state, loss)
    ...     print(improved, stopping.stops(state))
    True False
    True False
    False False
    False True
    """

    patience: int
    min_delta: float = 0.0

    def init(self) -> State:
        """Return what is remembered before the first epoch."""
        return {'best': None, 'bad': 0}

    def observe(self, state: State, loss: float) -> tuple[State, bool]:
        """Take in the held-out loss of an epoch.

        Parameters
        ----------
        state : State
            What is remembered so far.
        loss : float
            The held-out loss, lower is better.

        Returns
        -------
        tuple[State, bool]
            What is remembered now, and whether this loss is the best so far.
        """
        best, bad = state['best'], state['bad'] or 0
        if loss < (float('inf') if best is None else best - self.min_delta):
            return {'best': loss, 'bad': 0}, True
        return {'best': best, 'bad': bad + 1}, False

    def stops(self, state: State) -> bool:
        """Say whether training stops now."""
        return 0 < self.patience <= (state['bad'] or 0)
