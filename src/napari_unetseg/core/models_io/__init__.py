"""Read and write model files: packages of this program (native) and of others (foreign)."""
