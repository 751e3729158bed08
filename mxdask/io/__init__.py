"""One file per outside format, to and from models and tables."""
