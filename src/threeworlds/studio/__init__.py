"""studio: the page on which a world model is played. What a person sees and presses; no maths and no model code."""
