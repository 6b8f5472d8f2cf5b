"""Set counts of the models beside the paper's figures, by the script of a checkout's .dev_scripts."""
import runpy
import sys
from pathlib import Path

_SCRIPTS = Path(__file__).resolve().parents[1] / '.dev_scripts'

if __name__ == '__main__':
    sys.path.insert(0, str(_SCRIPTS))
    runpy.run_path(str(_SCRIPTS / 'paper_table.py'), run_name='__main__')
