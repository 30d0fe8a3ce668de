"""How well labels agree with the truth: pixels, objects, boundaries and partitions."""
