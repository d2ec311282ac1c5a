"""Network parts that know nothing of routes: attention, spacetime blocks, convolutions, quantizers."""
