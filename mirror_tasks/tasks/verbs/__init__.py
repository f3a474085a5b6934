"""The verbs that are no part of making a mirror, one a module; :mod:`.bill` is what `plan` prints."""
