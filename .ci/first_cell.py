"""Executes a first cell where nothing but the package and what it requires is installed."""

import sys

from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.run_cell("%load_ext rlm_notebook").raise_error()
done = shell.run_cell('%%rlm -m offline --no-checkpoint\nHow many words are in "to be or not to be"?')
done.raise_error()
print(done.result)
heavy = {"openai", "pandas", "anthropic"} & set(sys.modules)
sys.exit(f"wrong: {done.result}, or imported {heavy}" if "6" not in str(done.result) or heavy else 0)
