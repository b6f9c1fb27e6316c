"""The commands: one file each, and the only place where configuration, data, models and training meet."""
