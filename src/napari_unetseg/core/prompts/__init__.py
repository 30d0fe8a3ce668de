"""Prompts: clicks, strokes and boxes that mark one object, and the object proposed for them."""
