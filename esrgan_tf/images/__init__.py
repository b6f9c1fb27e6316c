"""Image files in and out, for training and for people; what is measured on them and done to them."""
