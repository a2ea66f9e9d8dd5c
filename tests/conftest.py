"""What every test may rely on: nothing that another test chose for the whole process is still chosen.

And what makes many tests quick, which changes nothing of what they check: hundreds of processes find the package
compiled, clients of servers on this machine do not read two hundred certificates each, and what was imported once is
not searched for garbage again and again.
"""

import gc
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from hypothesis import settings

from orchestrator.observability.tracing import content

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
settings.register_profile("suite", deadline=None, max_examples=50)  # a slow machine is no fault of what is tested
settings.register_profile("thorough", deadline=None, max_examples=1000)  # pytest --hypothesis-profile=thorough
settings.load_profile("suite")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """One worker more than there are processors: many tests wait for processes, servers and deadlines."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """From here on, what was imported stays."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust one authority, here and in processes: a client reads what it trusts when it is made, for some 40 ms."""
    end = "-----END CERTIFICATE-----\n"
    path = tmp_path_factory.mktemp("trusted") / "one.pem"
    path.write_text(Path(certifi.where()).read_text().partition(end)[0] + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest.fixture(autouse=True)
def _as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Content capture and logging as they are by default, whatever an example or a test before chose."""
    monkeypatch.delenv(content.ENVIRONMENT, raising=False)
    monkeypatch.setattr(content, "_current", None)
    monkeypatch.setattr(content, "_chosen", False)
    loggers = (logging.getLogger(), logging.getLogger("orchestrator"))
    before = [(logger, logger.level, list(logger.handlers), list(logger.filters)) for logger in loggers]
    yield
    for logger, level, handlers, filters in before:
        logger.setLevel(level)
        logger.handlers[:], logger.filters[:] = handlers, filters
