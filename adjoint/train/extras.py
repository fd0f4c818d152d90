"""The packages of the extra ``train``, which a plain installation lacks."""

from importlib.util import find_spec

from adjoint.train.errors import RunError


def require(*packages: str) -> None:
    """Raise if a package is not installed.

    Parameters
    ----------
    *packages : str
        Names under which they are imported.

    Raises
    ------
    RunError
        If one is missing; the message says how to install it.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise RunError(f"training needs {' and '.join(missing)}: pip install 'adjoint[train]'")
