from setuptools import setup

setup()  # all is stated in pyproject.toml; this file is for programs that look for it
