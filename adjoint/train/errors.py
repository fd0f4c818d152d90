"""What can go wrong around training: the data, the settings, the run folder."""

from adjoint.core.errors import AdjointError


class DataError(AdjointError, ValueError):
    """A data file or a set of images cannot be used."""


class RunError(AdjointError, RuntimeError):
    """A run cannot start, continue or be saved."""


class SettingError(AdjointError, ValueError):
    """A setting of a run has a value that makes no sense.

    Parameters
    ----------
    setting : str
        The field of `Config` that is wrong, such as ``'batch_size'``.
    problem : str
        What came and what was wanted.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f'{setting}: {problem}')
        self.setting = setting
        self.problem = problem
