"""The project's own commands as modules, so that a test can call their functions.

They are Python without an ending in their names, which `import` does not find, and start nothing when they are loaded.
"""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader


def load(path):
    """A new module of the command at `path`."""
    loader = SourceFileLoader(f"{path.name}_command", str(path))
    made = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(made)
    return made
