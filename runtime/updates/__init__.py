"""Signed updates of model folders: see docs/updates.md."""
