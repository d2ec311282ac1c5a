"""result.json -> Markdown and one self-contained HTML page. Measures nothing."""
