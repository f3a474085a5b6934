"""What the tasks of a run do: pages, metadata and files are fetched, checked, read and put in place."""
