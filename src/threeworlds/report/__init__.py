"""result.json -> Markdown and one self-contained HTML page. Measures nothing."""

from threeworlds.report.write import write_report

__all__ = ["write_report"]
