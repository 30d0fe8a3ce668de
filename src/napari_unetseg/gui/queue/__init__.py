"""The Queue dock."""
