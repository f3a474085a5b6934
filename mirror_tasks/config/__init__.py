"""What the user wrote: `mirror.yaml` and the files it names become a frozen `Config`, or all its faults at once."""
