"""A process that cannot import this package, as on a stranger's machine."""

# The first lines of a script.
WITHOUT_US = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "hf_transfer":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""
