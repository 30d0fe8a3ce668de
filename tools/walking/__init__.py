"""Walks through the real window as a newcomer takes them: clicks and keys, nothing else."""
