"""Every requirement on every environment, from the mirror alone."""
