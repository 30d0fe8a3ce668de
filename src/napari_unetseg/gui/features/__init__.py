"""The Features dock."""
