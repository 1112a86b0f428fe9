"""Recipes side by side, to test what five sources claim. For developers: not installed.

`python -m studies --help` shows the commands. Each study has a folder here: its variants, claims
and rules (`study.py`), what was measured, table, figure and findings.
"""
