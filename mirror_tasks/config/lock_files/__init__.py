"""Lock files of several tools, each read by a module of its own, as one model (:mod:`.model`)."""
