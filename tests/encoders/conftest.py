collect_ignore = ["golden.py", "golden_texts.py"]  # need torch, which the tests do without
