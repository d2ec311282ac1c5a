"""jepa: predict the next latent state, with no decoder. Encoder, action-conditioned predictor, anti-collapse term."""
