from setuptools import setup

setup()  # pyproject.toml has the metadata; this file is for tools that expect a setup.py
