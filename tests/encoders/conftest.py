collect_ignore = ["golden.py"]  # needs torch, which the tests do without
