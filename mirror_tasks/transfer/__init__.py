"""The crossing, from outside: what is not inside yet is bundled, signed, and written into volumes."""
