"""The command line: one command a file."""

import click

from adjoint.cli.derive import derive
from adjoint.cli.train import train


@click.group(context_settings={'help_option_names': ['-h', '--help']})
@click.version_option(package_name='adjoint')
def main() -> None:
    """Automatic differentiation on PyTorch tensors: the derivative is a graph you can hold."""


main.add_command(derive)
main.add_command(train)


if __name__ == '__main__':
    main()
