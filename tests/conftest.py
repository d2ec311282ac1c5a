"""What holds for every test."""

import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _subnormal_numbers() -> None:
    """A command that ran in this process set it up for training: no subnormal numbers. Properties draw them."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def load_script() -> Iterator[Callable[[str], ModuleType]]:
    """Turns "experiments/jepa.py" into a module, anew each time: scripts are no part of the package."""
    with pytest.MonkeyPatch.context() as patched:

        def load(path: str) -> ModuleType:
            spec = spec_from_file_location(Path(path).stem, ROOT / path)
            assert spec is not None and spec.loader is not None
            module = module_from_spec(spec)
            patched.setitem(sys.modules, spec.name, module)  # where its dataclasses look for their types
            spec.loader.exec_module(module)
            return module

        yield load
