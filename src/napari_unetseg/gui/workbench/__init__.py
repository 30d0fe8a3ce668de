"""The Workbench: start page, dock registry, guided tour and sample data."""
