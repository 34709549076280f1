"""A trained student as files that do without this package."""
