"""The real window worked by a program: walks as a newcomer takes them, scenes for the pictures."""
