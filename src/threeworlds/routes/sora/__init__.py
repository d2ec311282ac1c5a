"""sora: words (or first frames) -> video. Latents, a spacetime flow transformer, a caption encoder."""
