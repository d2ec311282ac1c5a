import pytest
from report_sample import write_sample

from threeworlds.report import write_report


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """A folder with the sample's result.json, strips and report. Read only."""
    folder = write_sample(tmp_path_factory.mktemp("sample"))
    write_report(folder)
    return folder
