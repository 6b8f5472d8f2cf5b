"""Look at results: pictures and tables."""
