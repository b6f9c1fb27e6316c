"""Measures of results against ground truth, over folders of images, and reports of them."""
