"""One module per command; each translates options, and prints what others decided."""
