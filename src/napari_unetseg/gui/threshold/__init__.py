"""The Threshold dock."""
