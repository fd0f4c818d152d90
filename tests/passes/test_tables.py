import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / 'docs'


@pytest.mark.parametrize('name', ['op_table', 'rewrite_table'])
def test_table_is_up_to_date(name: str) -> None:
    made = runpy.run_path(str(DOCS / f'{name}.py'))
    assert made['TARGET'].read_text(encoding='utf-8') == made['table'](), f'run python docs/{name}.py'
