"""Sphinx: ``make docs``. The source folder is the repository's root.

So links between these pages, the README and ``configs/*/README.md`` are the
same on GitHub and here. A link to any other file becomes a download.
"""

from mmdistill_dense import __version__

project = 'mmdistill_dense'
author = 'the mmdistill_dense contributors'
release = version = __version__

root_doc = 'docs/index'
include_patterns = [
    'docs/*.md',
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'configs/*/README.md',
]
exclude_patterns = ['.*', 'work_dirs', 'data', 'build', 'dist', 'docs/_build']
extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.mathjax',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
]

myst_enable_extensions = ['dollarmath']
# Anchors as GitHub makes them: page.md#a-heading.
myst_heading_anchors = 3

autodoc_inherit_docstrings = False
autodoc_member_order = 'bysource'
autodoc_typehints_format = 'short'
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 79
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = 'furo'
html_title = f'mmdistill_dense {version}'
# index.html sends a visitor of the top folder to docs/index.html.
html_extra_path = ['_extra']
html_copy_source = False
