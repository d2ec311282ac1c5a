"""genie: image + latent action -> the next frame. Tokenizer, latent action model and dynamics, from video alone."""
