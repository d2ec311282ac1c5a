"""result.json -> Markdown and one self-contained HTML page. Measures nothing."""

from threeworlds.report.write import digest, remember_beside, write_report

__all__ = ["digest", "remember_beside", "write_report"]
