"""The keys under ``policy:``, read one by one; :mod:`~mirror_tasks.config.policy_keys.reader` puts them together."""
