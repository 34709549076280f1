"""Key layouts of the files that encoders are published in."""
