"""Run folders: their files, networks, starts and history."""
