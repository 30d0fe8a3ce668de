"""The Correct dock."""
