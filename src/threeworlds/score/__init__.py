"""One question a file: frames and states in, rows with intervals out."""
