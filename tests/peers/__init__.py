"""What an independent framework computes for the prelude: one row an operator, as data (see row.py)."""
