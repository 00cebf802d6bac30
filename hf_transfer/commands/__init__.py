"""One file per command of `hf-transfer`: its flags, and what it does with them.

Whatever is slow to import is imported inside the branch that needs it, so that help, listings and mistakes are told at
once.
"""
