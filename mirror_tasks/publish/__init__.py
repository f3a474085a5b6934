"""The pages of a mirror, for clients and for people, and what says that it is whole."""
