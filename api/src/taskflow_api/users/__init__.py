"""The people, as administrators see them."""
