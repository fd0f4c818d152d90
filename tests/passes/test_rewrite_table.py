import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / 'docs'


def test_table_is_up_to_date():
    made = runpy.run_path(str(DOCS / 'rewrite_table.py'))
    assert made['TARGET'].read_text(encoding='utf-8') == made['table'](), 'run python docs/rewrite_table.py'
