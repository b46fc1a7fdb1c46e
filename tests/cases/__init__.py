"""Every kind of image that a dataset may hold, as a table: how it is made, what is expected."""
