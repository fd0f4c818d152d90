"""Early stopping."""

import json

from adjoint.train.stopping import EarlyStopping


def run(stopping: EarlyStopping, losses: list[float]) -> tuple[list[bool], list[bool]]:
    state = stopping.init()
    improvements: list[bool] = []
    stops: list[bool] = []
    for loss in losses:
        state, improved = stopping.observe(state, loss)
        state = json.loads(json.dumps(state))
        improvements.append(improved)
        stops.append(stopping.stops(state))
    return improvements, stops


def test_it_stops_after_patience_epochs_without_improvement() -> None:
    improvements, stops = run(EarlyStopping(patience=3), [3, 2, 2.5, 2.1, 2.2])
    assert improvements == [True, True, False, False, False]
    assert stops == [False, False, False, False, True]


def test_an_improvement_starts_the_count_anew() -> None:
    _, stops = run(EarlyStopping(patience=2), [3, 3, 2, 2, 2])
    assert stops == [False, False, False, False, True]


def test_an_improvement_is_larger_than_min_delta() -> None:
    improvements, _ = run(EarlyStopping(patience=9, min_delta=0.1), [1.0, 0.95, 0.9, 0.89, 0.75])
    assert improvements == [True, False, False, True, True]


def test_no_patience_means_never() -> None:
    _, stops = run(EarlyStopping(patience=0), [1.0] * 50)
    assert not any(stops)


def test_not_a_number_is_never_an_improvement() -> None:
    improvements, stops = run(EarlyStopping(patience=2), [float('nan'), float('nan'), 1.0])
    assert improvements == [False, False, True]
    assert stops == [False, True, False]
