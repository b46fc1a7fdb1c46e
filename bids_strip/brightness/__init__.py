"""Brightness: the bias field, the mixture of tissues, what place says of them."""
