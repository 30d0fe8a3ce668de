"""The Scoreboard dock."""
