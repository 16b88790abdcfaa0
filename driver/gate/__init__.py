"""`gradproof gate`: everything that `verify` does, over a repository, in seconds; docs/gate.md says how it is used.

run.py reads top to bottom: settings, files, what is unchanged, what must be proved and by whom, reports.
"""
